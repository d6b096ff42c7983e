"""The permissions of an actor, as verbs: `may(actor).resolve(case)` is called before anything is done.

Every verb raises `NotAllowed` or returns nothing. Further rules belong here: four eyes (the second verdict may not come
from the first one's actor), filing an STR (lead), reading the audit chain (auditor).
"""

from __future__ import annotations

from dataclasses import dataclass

from serving.cases.cases import Case, check_open
from serving.errors import ServiceError

_READERS = frozenset({"analyst", "lead", "auditor", "admin"})
_DECIDERS = frozenset({"analyst", "lead"})


class NotAllowed(ServiceError):
    """The actor's role does not permit this."""

    status = 403


@dataclass(frozen=True)
class Actor:
    """A user who is signed in."""

    name: str
    role: str


@dataclass(frozen=True)
class Permission:
    """The verbs of one actor."""

    actor: Actor

    def read_queue(self) -> None:
        """See the list of cases.

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
        check_open(case)

    def may_resolve(self, case: Case) -> bool:
        """Whether `resolve` would be allowed; decides only whether the form is shown."""
        return case.is_open and self.actor.role in _DECIDERS

    def _one_of(self, roles: frozenset[str], action: str) -> None:
        if self.actor.role not in roles:
            raise NotAllowed(
                f"The role {self.actor.role} may not {action}.",
                f"Ask someone who is {' or '.join(sorted(roles))}.",
            )


def may(actor: Actor) -> Permission:
    """The permissions of an actor: `may(actor).resolve(case)`."""
    return Permission(actor)
