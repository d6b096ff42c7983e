"""Single flight: a retry that reaches a worker while it decides the payment waits in memory and does not poll Redis."""

from __future__ import annotations

import asyncio


class SingleFlight:
    """The payments under way in this process, and the retries that wait for them."""

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Future[None] | None] = {}

    def of(self, transaction_id: str) -> asyncio.Future[None] | None:
        """A future that resolves when that payment is done; None if it is not under way."""
        if transaction_id not in self._under_way:
            return None
        future = self._under_way[transaction_id]
        if future is None:
            future = self._under_way[transaction_id] = asyncio.get_running_loop().create_future()
        # A caller that disconnects must not cancel the others.
        return asyncio.shield(future)

    def __contains__(self, transaction_id: str) -> bool:
        return transaction_id in self._under_way

    def begin(self, transaction_id: str) -> None:
        """Note that a payment is under way."""
        self._under_way[transaction_id] = None

    def end(self, transaction_id: str) -> None:
        """Resume the retries that wait."""
        future = self._under_way.pop(transaction_id)
        if future is not None and not future.done():
            future.set_result(None)
