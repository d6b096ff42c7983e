"""The root of the error tree: every error says what is wrong, where, and how to repair it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong with an input, where, and how to repair it."""

    code: str
    message: str
    field: str | None
    repair: str

    def sentence(self) -> str:
        """The problem as one line of text."""
        where = f"{self.field}: " if self.field else ""
        return f"{where}{self.message} {self.repair}".strip()


class RiskgateError(Exception):
    """Root of all our errors; `code` is stable and for machines, `message` and `repair` are for people."""

    code = "error"

    def __init_subclass__(cls) -> None:
        """An error has one name: its code is the name of its class in snake case."""
        cls.code = vars(cls).get("code", re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower())

    def __init__(self, message: str, repair: str = "", field: str | None = None) -> None:
        super().__init__(f"{message} {repair}".strip())
        self.message = message
        self.repair = repair
        self.field = field


class Malformed(RiskgateError):
    """The body is not one JSON object (HTTP 400)."""


class Refused(RiskgateError):
    """The input is readable but not valid (HTTP 422); `problems` lists every reason."""

    code = "invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(" ".join(p.sentence() for p in problems))
        self.problems = tuple(problems)


class InvalidDeclaration(RiskgateError):
    """A catalogue, policy or mapping contradicts itself; `problems` lists every reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = tuple(problems)


class InvalidHistory(RiskgateError):
    """A history of payments cannot be replayed as it is."""


class ContractMismatch(RiskgateError):
    """A model, or stored state, belongs to other features than this code computes."""


class BrokenBundle(RiskgateError):
    """A bundle on disk is incomplete, altered or contradicts itself."""


class BrokenState(RiskgateError):
    """Stored window state is not what this code writes."""


class RegistryUnavailable(RiskgateError):
    """The database that holds Feast's registry cannot be used."""


class StoreUnavailable(RiskgateError):
    """The server that holds the online state does not answer."""
