"""How long a payment of a batch usually takes, and so how many fit before a deadline."""

from __future__ import annotations

from features.domain.payment_fields import LONGEST_DEADLINE_MS
from serving.errors import BatchTooLarge

#: Milliseconds in which a batch is answered if it names no `deadline_ms`; after as long BentoML would answer itself.
DEFAULT_BATCH_DEADLINE_MS = LONGEST_DEADLINE_MS
#: Part of the time left that may be planned: the rest is for writing the reply, and for a pace that is only usual.
_PLANNED = 0.9
#: The first estimate of one payment, and the weight of the batches of the past in the next ones.
_FIRST_NS, _KEPT = 300_000.0, 0.7
#: A smaller batch says little of the pace: it waits for one commit, whatever its size.
_TELLING = 16


class BatchPace:
    """The pace of one process: measured from batch to batch, with whatever else it does meanwhile."""

    def __init__(self) -> None:
        self.payment_ns = _FIRST_NS

    def learn(self, payments: int, took_ns: int) -> None:
        """A batch of so many payments was decided in that time."""
        if payments >= _TELLING:
            self.payment_ns = _KEPT * self.payment_ns + (1 - _KEPT) * took_ns / payments

    def check(self, payments: int, left_ns: int) -> None:
        """Let a batch begin that will usually be answered in the time left.

        One payment always may: whatever its deadline, it gets a decision.
        Raises: BatchTooLarge with the number of payments that fit.

        >>> BatchPace().check(1_000, 10_000_000_000)
        >>> try:
        ...     BatchPace().check(1_000, 90_000_000)
        ... except BatchTooLarge as refused:
        ...     print(refused.repair)
        Send at most 270 payments in a batch, or a longer `deadline_ms` beside `payments`.
        """
        fit = max(1, int(_PLANNED * left_ns / self.payment_ns))
        if payments > fit:
            takes_ms, left_ms = payments * self.payment_ns * 1e-6, max(left_ns, 0) * 1e-6
            most = "1 payment" if fit == 1 else f"{fit:,} payments"
            raise BatchTooLarge(
                f"{payments:,} payments take about {takes_ms:,.0f} ms here, and {left_ms:,.0f} ms are left of the "
                f"batch's deadline: {fit:,} fit. None was decided.",
                f"Send at most {most} in a batch, or a longer `deadline_ms` beside `payments`.",
                "payments",
            )
