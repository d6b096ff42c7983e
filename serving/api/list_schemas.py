"""The bodies of `/v1/lists` and their part of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from features.intake.parse import moment_of
from serving.decision.rules import LISTS
from serving.lists.entry import KINDS, MOST_IN_EVENT, Entry
from serving.lists.values import LONGEST_REASON

MOST_IN_PAGE = 1_000
_ONE_OF_LISTS = Meta(extra_json_schema={"enum": list(LISTS)})


class ListEntry(msgspec.Struct, frozen=True):
    """One entry in force; instruments and addresses are pseudonyms in a service with a hash key."""

    kind: Annotated[str, Meta(extra_json_schema={"enum": list(KINDS)})]
    value: str
    reason: str
    author: Annotated[str, Meta(description="The id of the API key, or the name given on the command line.")]
    created_at: datetime
    expires_at: Annotated[datetime | None, Meta(description="It does not match payments from this event time on.")]
    expired: Annotated[bool, Meta(description="Whether that moment has passed by the clock of the service.")]


def list_entry(entry: Entry, now_ms: int, hide: Callable[[str], str]) -> ListEntry:
    """An entry as it is shown; `hide` replaces card numbers, which authors of earlier releases may hold."""
    return ListEntry(
        entry.kind,
        entry.value,
        entry.reason,
        hide(entry.author),
        moment_of(entry.created_at_ms),
        None if entry.expires_at_ms is None else moment_of(entry.expires_at_ms),
        not entry.holds_at(now_ms),
    )


class ListPage(msgspec.Struct, frozen=True):
    """Entries of one list, in the order in which they were added."""

    entries: list[ListEntry]
    next: Annotated[str | None, Meta(description="Send it as `after` for the next page; null at the end.")]
    total: Annotated[int, Meta(description="Entries of the whole list, expired ones included.")]


class ChangedEntry(msgspec.Struct, frozen=True):
    """What became of one entry of a request."""

    kind: str
    value: Annotated[str, Meta(description="As it is stored and compared with payments.")]
    status: Annotated[str, Meta(extra_json_schema={"enum": ["added", "replaced", "removed", "absent"]})]


class ChangedList(msgspec.Struct, frozen=True):
    """The result of a change, in the order of the request; it is in force in every worker within two seconds."""

    list: Annotated[str, _ONE_OF_LISTS]
    entries: tuple[ChangedEntry, ...]


_NAMED_ENTRY: dict[str, Any] = {
    "kind": {"type": "string", "enum": list(KINDS)},
    "value": {"type": "string", "minLength": 1, "maxLength": 128},
}
_NEW_ENTRY: dict[str, Any] = {
    **_NAMED_ENTRY,
    "reason": {"type": "string", "minLength": 1, "maxLength": LONGEST_REASON},
    "expires_at": {
        "type": ["string", "null"],
        "description": "RFC 3339 with an offset, or a day; absent: never.",
    },
}


def _change(properties: dict[str, Any], required: list[str], example: dict[str, Any]) -> dict[str, Any]:
    entry = {"type": "object", "required": required, "properties": properties, "additionalProperties": False}
    entries = {"type": "array", "minItems": 1, "maxItems": MOST_IN_EVENT, "items": entry}
    return {
        "type": "object",
        "required": ["entries"],
        "properties": {"entries": entries},
        "additionalProperties": False,
        "example": {"entries": [example]},
    }


#: The schemas of what is sent; those of the replies come from their types.
SENT = {
    "NewEntries": _change(
        _NEW_ENTRY, ["kind", "value", "reason"], {"kind": "ip", "value": "203.0.113.0/24", "reason": "Card testing"}
    ),
    "EntryNames": _change(_NAMED_ENTRY, ["kind", "value"], {"kind": "ip", "value": "203.0.113.0/24"}),
}
SENT["EntryNames"]["properties"]["reason"] = {
    "type": ["string", "null"],
    "minLength": 1,
    "maxLength": LONGEST_REASON,
    "description": "Why they are removed.",
}
ANSWERED = (ListPage, ChangedList)

#: The path parameter, and the query of a page.
NAME = {"name": "list", "in": "path", "required": True, "schema": {"type": "string", "enum": list(LISTS)}}
PAGE_QUERY: tuple[dict[str, Any], ...] = (
    {
        "name": "after",
        "in": "query",
        "schema": {"type": "string"},
        "description": "`next` of the page before.",
    },
    {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": MOST_IN_PAGE, "default": 100},
    },
    {"name": "kind", "in": "query", "schema": {"type": "string", "enum": list(KINDS)}},
)
