"""The flags of the query string: which path takes which, and the refusal of all others."""

from __future__ import annotations

from urllib.parse import parse_qsl

import msgspec

from features.errors import Problem, Refused

#: Descriptions of the flags in the OpenAPI document.
MEANING = {
    "explain": "Reasons for an approved payment too.",
    "strict": "Refuse what would only be named in `warnings`.",
    "dry_run": "Decide and explain without recording or counting anything.",
}
#: The paths that take flags; every other path takes none.
TAKEN = {"/v1/score": tuple(MEANING), "/v1/score/batch": tuple(MEANING)}
#: How a flag is spelled, in any letter case: Python writes `True`. Empty is no spelling: a variable that was not
#: set would silently turn `dry_run` on, and the payment would not be recorded.
SPELLINGS = {"1": True, "true": True, "0": False, "false": False}


class Flags(msgspec.Struct, frozen=True):
    """The flags of one request."""

    explain: bool = False
    dry_run: bool = False
    strict: bool = False


NONE = Flags()


def flags_of(path: str, query: bytes) -> Flags:
    """The flags that a request to this path sends.

    Raises: Refused, with every problem: a flag that the path does not take, is repeated, or neither on nor off.

    >>> flags_of("/v1/score", b"explain=1")
    Flags(explain=True, dry_run=False, strict=False)
    """
    if not query:
        return NONE
    taken = TAKEN.get(path, ())
    values: dict[str, bool] = {}
    problems = []
    for name, text in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in taken:
            # The reply does not echo the name: it may hold a card number.
            problems.append(Problem("unknown_flag", "An unknown query flag was sent.", None, _repair(taken)))
        elif name in values:
            problems.append(Problem("repeated_flag", f"`{name}` is sent more than once.", name, "Send it once."))
        elif (value := SPELLINGS.get(text.lower())) is None:
            what = "is neither true nor false" if text else "is sent without a value"
            problems.append(Problem("invalid_flag", f"`{name}` {what}.", name, f"Send {name}=true, or leave it out."))
        else:
            values[name] = value
    if problems:
        raise Refused(list(dict.fromkeys(problems)))
    return Flags(**values)


def _repair(taken: tuple[str, ...]) -> str:
    return f"Send {' or '.join(taken)} only." if taken else "Send no query: this path takes none."
