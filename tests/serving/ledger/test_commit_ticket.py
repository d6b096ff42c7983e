"""Word of an event: told once, at once, to everybody, whatever one of them does with it."""

from __future__ import annotations

import asyncio

import pytest

from serving.ledger.sqlite.commit_ticket import CommitTicket


def test_who_asked_before_is_told_in_order_and_who_asks_later_at_once() -> None:
    recorded, heard = CommitTicket(), list[str]()
    recorded.add_done_callback(lambda one: heard.append(f"first {one.error()}"))
    recorded.add_done_callback(lambda one: heard.append("second"))
    assert (recorded.done(), heard) == (False, [])
    recorded.settle()
    assert (recorded.done(), heard) == (True, ["first None", "second"])
    recorded.add_done_callback(lambda one: heard.append("third"))
    recorded.settle(ValueError("too late"))
    assert (recorded.error(), heard) == (None, ["first None", "second", "third"])


def test_one_that_fails_keeps_nobody_from_hearing(caplog: pytest.LogCaptureFixture) -> None:
    recorded, heard = CommitTicket(), list[int]()

    def fail(_: CommitTicket) -> None:
        raise RuntimeError("no")

    recorded.add_done_callback(fail)
    recorded.add_done_callback(lambda _: heard.append(1))
    recorded.settle()
    assert (heard, "a callback of a commit failed" in caplog.text) == ([1], True)


def test_awaiting_gives_what_went_wrong_to_each_and_a_cancelled_waiter_takes_nothing() -> None:
    async def run() -> None:
        recorded = CommitTicket()

        async def wait() -> None:
            await recorded

        waiting = [asyncio.create_task(wait()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        recorded.settle(ValueError("disk"))
        told = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in told] == [asyncio.CancelledError, ValueError, ValueError]
        with pytest.raises(ValueError, match="disk"):
            await recorded

    asyncio.run(run())
