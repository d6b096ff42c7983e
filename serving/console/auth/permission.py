"""What an actor may do, as verbs: `may(actor).resolve(case)` is asked before anything is touched.

Every verb raises `NotAllowed` or returns nothing. Later rules have their place here: four eyes (the second
verdict may not come from the first one's actor), filing an STR (lead), reading the audit chain (auditor).
"""

from __future__ import annotations

from dataclasses import dataclass

from serving.cases.cases import AlreadyResolved, Case
from serving.errors import ServiceError

_READERS = frozenset({"analyst", "lead", "auditor", "admin"})
_DECIDERS = frozenset({"analyst", "lead"})


class NotAllowed(ServiceError):
    """Somebody signed in who may not do this."""

    code = "not_allowed"
    status = 403


@dataclass(frozen=True)
class Actor:
    """Somebody who is signed in."""

    name: str
    role: str


@dataclass(frozen=True)
class Permission:
    """The verbs of one actor."""

    actor: Actor

    def read_queue(self) -> None:
        """See which cases there are.

        Raises: NotAllowed.
        """
        self._one_of(_READERS, "see the queue")

    def read_case(self, case: Case) -> None:
        """See one case with its payment and parties.

        Raises: NotAllowed.
        """
        self._one_of(_READERS, "see cases")

    def resolve(self, case: Case) -> None:
        """Give the verdict on a case.

        Raises: NotAllowed; AlreadyResolved.
        """
        self._one_of(_DECIDERS, "resolve cases")
        if not case.is_open:
            raise AlreadyResolved(
                f"This case was already resolved as {case.verdict} by {case.verdict_by}.",
                "Go back to the queue; your verdict was not recorded and nothing was changed.",
            )

    def may_resolve(self, case: Case) -> bool:
        """Whether `resolve` would be allowed; for showing or hiding the form, never instead of asking."""
        return case.is_open and self.actor.role in _DECIDERS

    def _one_of(self, roles: frozenset[str], deed: str) -> None:
        if self.actor.role not in roles:
            raise NotAllowed(
                f"The role {self.actor.role} may not {deed}.",
                f"Ask someone who is {' or '.join(sorted(roles))}.",
            )


def may(actor: Actor) -> Permission:
    """Begin a question of permission: `may(actor).resolve(case)`."""
    return Permission(actor)
