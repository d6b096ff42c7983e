"""What a verification of a ledger found."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from serving.state.set_aside import SetAside


class VerifyResult(msgspec.Struct):
    """The result of a verification; `vectors` is how many feature vectors were compared.

    `undecided` payments entered the state and have no answer: their process died, or a label brought them. `waiting`
    payments are not known here and have reports that wait for them. `declared` decisions differ and arrived during one
    of the `incidents` that the ledger declares: no mismatches. `set_aside` events cannot be folded and changed nothing;
    an operator who knows the reason passes their numbers as `explained`. `missing` says in sentences which events the
    ledger once held, as far as no operator has accepted that.
    """

    events: int = 0
    payments: int = 0
    vectors: int = 0
    mismatches: int = 0
    differences: list[str] = []
    models: list[str] = []
    undecided: int = 0
    waiting: int = 0
    incidents: int = 0
    declared: int = 0
    set_aside: SetAside = msgspec.field(default_factory=SetAside)
    missing: list[str] = []

    def unexplained(self, explained: Collection[int]) -> int:
        """How many events are set aside without a known reason."""
        return self.set_aside.count - sum(seq in self.set_aside for seq in set(explained))

    def sentence(self) -> str:
        """The result as a sentence."""
        aside = f" {self.set_aside.count:,} cannot be folded and are set aside." if self.set_aside.count else ""
        if self.missing:
            aside += " The ledger is not complete: see above."
        if not self.payments:
            return f"{self.events:,} events, no payment among them: nothing to compare.{aside}"
        found = "no difference" if not self.mismatches else f"{self.mismatches:,} that differ"
        left = f" {self.undecided:,} were admitted and never decided." if self.undecided else ""
        left += f" Reports wait for {self.waiting:,} unknown payments." if self.waiting else ""
        if self.incidents:
            plural = "s" if self.incidents > 1 else ""
            left += f" {self.declared:,} differ and belong to {self.incidents:,} declared incident{plural}."
        models = f"; {', '.join(self.models)}" if self.models else ""
        return (
            f"{self.payments:,} payments in {self.events:,} events recomputed "
            f"({self.vectors:,} vectors, bit for bit{models}): {found}.{left}{aside}"
        )

    def figures(self) -> dict[str, Any]:
        """The result as data."""
        return {
            "events": self.events,
            "payments": self.payments,
            "vectors": self.vectors,
            "mismatches": self.mismatches,
            "differences": self.differences,
            "undecided": self.undecided,
            "waiting": self.waiting,
            "incidents": self.incidents,
            "declared": self.declared,
            "missing": self.missing,
            "set_aside": [one._asdict() for one in self.set_aside.named()],
        }
