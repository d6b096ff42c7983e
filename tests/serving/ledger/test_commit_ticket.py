"""A commit ticket: each callback runs once, immediately, in order, and none can disturb another."""

from __future__ import annotations

import asyncio

import pytest

from serving.ledger.sqlite.commit_ticket import CommitTicket


def test_callbacks_run_in_order_and_one_added_later_runs_immediately() -> None:
    ticket, heard = CommitTicket(), list[str]()
    ticket.add_done_callback(lambda one: heard.append(f"first {one.error()}"))
    ticket.add_done_callback(lambda one: heard.append("second"))
    assert (ticket.done(), heard) == (False, [])
    ticket.settle()
    assert (ticket.done(), heard) == (True, ["first None", "second"])
    ticket.add_done_callback(lambda one: heard.append("third"))
    ticket.settle(ValueError("too late"))
    assert (ticket.error(), heard) == (None, ["first None", "second", "third"])


def test_a_callback_that_fails_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    ticket, heard = CommitTicket(), list[int]()

    def fail(_: CommitTicket) -> None:
        raise RuntimeError("no")

    ticket.add_done_callback(fail)
    ticket.add_done_callback(lambda _: heard.append(1))
    ticket.settle()
    assert (heard, "a callback of a commit failed" in caplog.text) == ([1], True)


def test_each_waiter_gets_the_error_and_a_cancelled_one_disturbs_none() -> None:
    async def run() -> None:
        ticket = CommitTicket()

        async def wait() -> None:
            await ticket

        waiting = [asyncio.create_task(wait()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        ticket.settle(ValueError("disk"))
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in results] == [asyncio.CancelledError, ValueError, ValueError]
        with pytest.raises(ValueError, match="disk"):
            await ticket

    asyncio.run(run())
