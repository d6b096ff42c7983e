"""`/v1/lists/{block|allow|watch}`: add and remove entries, and read them page by page."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

from features.errors import Problem, Refused
from features.intake.parse import read_json
from serving.api.asgi import Reply, json_reply
from serving.api.handlers import Backend, Request
from serving.api.list_schemas import MOST_IN_PAGE, ChangedEntry, ChangedList, ListPage, list_entry
from serving.decision.rules import LISTS
from serving.errors import Overloaded, UnknownList
from serving.lists.changes import ListService
from serving.lists.entry import ADD, BEGIN, KINDS, MOST_IN_EVENT, REMOVE, Change, NewEntry, position_named
from serving.lists.values import Unfit

DEFAULT_PAGE = 100
PATH = "/v1/lists/"


class ReadBody(Protocol):
    """Reads the body of a request."""

    def __call__(self, request: Request, limit_bytes: int) -> Coroutine[Any, Any, bytes]:
        """The body; raises TooLarge, SlowBody, Malformed."""


class ListHandlers:
    """The handlers of the lists of one application."""

    def __init__(self, backend: Backend, read: ReadBody) -> None:
        self._backend = backend
        self._read = read

    async def page(self, request: Request) -> Reply:
        """`GET /v1/lists/{list}`: entries in the order in which they were added."""
        name, lists = _list_in(request.path), self._lists()
        given = _query_of(request.query)
        problems = []
        kind, limit_text, after_text = given.get("kind"), given.get("limit", str(DEFAULT_PAGE)), given.get("after")
        after = BEGIN if after_text is None else position_named(after_text)
        limit = int(limit_text) if limit_text.isascii() and limit_text.isdigit() and len(limit_text) < 6 else 0
        if kind is not None and kind not in KINDS:
            problems.append(Problem("unknown_kind", "is no kind of entry.", "kind", f"Send one of {', '.join(KINDS)}."))
        if after is None:
            problems.append(Problem("invalid_cursor", "is no cursor.", "after", "Send `next` of the page before."))
        if not 1 <= limit <= MOST_IN_PAGE:
            problems.append(Problem("out_of_range", "is out of range.", "limit", f"Send 1 to {MOST_IN_PAGE}."))
        if problems or after is None:
            raise Refused(problems)
        entries, then = lists.book.page(name, after, limit, kind)
        now_ms, hide = lists.now_ms(), lists.reader.hide
        shown = [list_entry(one, now_ms, hide) for one in entries]
        return json_reply(ListPage(shown, None if then is None else then.text(), lists.book.counts[name]))

    async def add(self, request: Request) -> Reply:
        """`POST /v1/lists/{list}`: add entries, or replace those of the same kind and value."""
        return await self._change(request, ADD)

    async def remove(self, request: Request) -> Reply:
        """`DELETE /v1/lists/{list}`: remove the entries of these kinds and values."""
        return await self._change(request, REMOVE)

    async def _change(self, request: Request, action: str) -> Reply:
        name, lists = _list_in(request.path), self._lists()
        runtime, _ = self._backend.engine()
        body = read_json(await self._read(request, runtime.settings.batch_limit_bytes))
        entries, reason = _entries_of(body, action, lists, lists.now_ms())
        # An id of digits and hyphens can be a card number.
        author = lists.reader.hide(request.caller.id) if request.caller is not None else ""
        statuses = await lists.change(Change(name, action, author, entries, reason))
        # A result that newer changes have pushed out is not worth a failure: the change is recorded and applied.
        statuses = statuses or ("added" if action == ADD else "removed",) * len(entries)
        return json_reply(
            ChangedList(
                name,
                tuple(ChangedEntry(one.kind, one.value, status) for one, status in zip(entries, statuses, strict=True)),
            )
        )

    def _lists(self) -> ListService:
        runtime, _ = self._backend.engine()
        if runtime.lists is None:
            raise Overloaded("The service is still starting.", "Wait for /readyz and send again.")
        return runtime.lists


def _list_in(path: str) -> str:
    name = path.removeprefix(PATH)
    if name not in LISTS:
        raise UnknownList("There is no list of that name.", f"Call {PATH} with {', '.join(LISTS)}.")
    return name


def _query_of(query: bytes) -> dict[str, str]:
    """The values of the query.

    Raises: Refused for an unknown or repeated name.
    """
    given: dict[str, str] = {}
    for name, text in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in ("after", "limit", "kind"):
            # The reply does not echo the name: it may hold a card number.
            problem = Problem(
                "unknown_flag", "An unknown query flag was sent.", None, "Send after, limit or kind only."
            )
            raise Refused([problem])
        if name in given:
            raise Refused([Problem("repeated_flag", f"`{name}` is sent more than once.", name, "Send it once.")])
        given[name] = text
    return given


def _entries_of(body: object, action: str, lists: ListService, now_ms: int) -> tuple[tuple[NewEntry, ...], str]:
    """The entries of a request, and why they are removed.

    Raises: Refused with every problem, each with the place of its entry.
    """
    allowed = {"entries"} if action == ADD else {"entries", "reason"}
    raw = body.get("entries") if isinstance(body, Mapping) and set(body) <= allowed else None
    if not isinstance(raw, list) or not 1 <= len(raw) <= MOST_IN_EVENT:
        shape = f'A change is {{"entries": [...]}} with 1 to {MOST_IN_EVENT} entries.'
        raise Refused(
            [Problem("invalid_entries", shape, "entries", "Send it so; for more: python -m serving list import.")]
        )
    entries: list[NewEntry] = []
    problems: list[Problem] = []
    for place, one in enumerate(raw):
        try:
            entries.append(lists.reader.entry(one, now_ms, to_remove=action == REMOVE))
        except Unfit as unfit:
            found = unfit.problem
            field = f"entries[{place}]" + (f".{found.field}" if found.field else "")
            problems.append(Problem(found.code, found.message, field, found.repair))
    reason = ""
    given = body.get("reason") if isinstance(body, Mapping) else None
    if given is not None:
        try:
            reason = lists.reader.reason(given)
        except Unfit as unfit:
            problems.append(unfit.problem)
    if problems:
        raise Refused(problems)
    return tuple(entries), reason
