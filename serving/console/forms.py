"""Reads and validates what browsers send: small urlencoded forms and query strings."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from features.intake.card_numbers import holds_card_number
from serving.cases.cases import VERDICTS
from serving.console.pages.queue_page import DECISIONS, STATES, QueueQuery
from serving.errors import ServiceError, SlowBody, TooLarge

#: Timeout of a form: forms are small, but a connection may be slow.
FORM_SECONDS = 5.0
LARGEST_FORM_BYTES = 32_768
LONGEST_NOTE = 2_000
_LAST_PAGE = 100_000


class BadForm(ServiceError):
    """A request body that is not a form of the review desk."""

    status = 400


class ForeignForm(ServiceError):
    """A form without the CSRF token of this session: sent by another site, or left open too long."""

    status = 403

    def __init__(self) -> None:
        super().__init__(
            "This form does not belong to your session, so nothing was done.",
            "Go back, reload the page and send it again.",
        )


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a posted form; the last value of a repeated field counts.

    Raises: BadForm, TooLarge, SlowBody.
    """
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise BadForm("This is not a form of the review desk.", "Use the form on the page.")
    body = bytearray()
    try:
        async with asyncio.timeout(FORM_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_FORM_BYTES:
                    raise TooLarge("The form is too large.", f"Keep it below {LARGEST_FORM_BYTES // 1024} KiB.")
    except TimeoutError:
        raise SlowBody("The form did not arrive in time.", "Nothing was recorded; send it again.") from None
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20, errors="strict"))
    except ValueError as error:
        raise BadForm("The form cannot be read.", "Use the form on the page.") from error


class VerdictInput(msgspec.Struct, frozen=True):
    """A verdict as sent; `problems` are sentences about what is wrong with it."""

    verdict: str
    note: str
    problems: tuple[str, ...]


def read_verdict(fields: Mapping[str, str]) -> VerdictInput:
    """The verdict and note of the form; a note with a card number is discarded, not even shown again.

    >>> read_verdict({"verdict": "fraud", "note": "Customer denies it."}).problems
    ()
    """
    verdict = fields.get("verdict", "")
    note = fields.get("note", "").replace("\r\n", "\n").strip()
    problems = []
    if verdict not in VERDICTS:
        verdict = ""
        problems.append("Choose fraud or legitimate.")
    if not note:
        problems.append("Write a note: what did you check, and what decided it?")
    elif len(note) > LONGEST_NOTE:
        problems.append(f"The note has {len(note)} characters; keep it within {LONGEST_NOTE}.")
    if holds_card_number(note):
        note = ""
        problems.append("The note held what looks like a card number, which is never kept. Write it again without.")
    return VerdictInput(verdict, note, tuple(problems))


def read_queue_query(query: Mapping[str, str]) -> QueueQuery:
    """The part of the queue that a query string asks for; invalid values count as absent.

    >>> read_queue_query({"state": "resolved", "page": "-3"})
    QueueQuery(state='resolved', decision='all', find='', page=1)
    """
    state, decision, page = query.get("state", ""), query.get("decision", ""), query.get("page", "")
    return QueueQuery(
        state=state if state in STATES else "open",
        decision=decision if decision in DECISIONS else "all",
        find=query.get("find", "").strip()[:200],
        page=min(max(int(page), 1), _LAST_PAGE) if page.isascii() and page.isdigit() and len(page) < 9 else 1,
    )
