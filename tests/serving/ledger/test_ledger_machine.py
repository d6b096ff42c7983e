"""The ledger under a machine that appends, kills, tears and retries: what was acknowledged is there, once, in order."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from serving.errors import LedgerError
from serving.ledger.sqlite.checkpoint import checkpoint_once
from serving.ledger.sqlite.ledger import Ledger
from serving.ledger.sqlite.wal_preallocate import preallocate

Row = tuple[str, str, bytes]  # kind, transaction_id, body


class LedgerMachine(RuleBasedStateMachine):
    """Holds what was acknowledged, in order, and compares it with the file after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-machine-"))
        self.runner = asyncio.Runner()
        self.acknowledged: list[Row] = []
        self.places = 0
        self.names = 0
        #: Bytes of the write-ahead log that a copy back has made durable: no lost machine tears them.
        self.durable = 0

    @initialize()
    def begin(self) -> None:
        self._open()

    def _open(self) -> None:
        self.places += 1
        there = self.folder / str(self.places) / "ledger.sqlite"
        self.ledger = Ledger(there)

    def _wal(self) -> Path:
        return self.ledger.path.with_name("ledger.sqlite-wal")

    def _rows(self, count: int, size: int) -> list[Row]:
        rows = []
        for place in range(count):
            self.names += 1
            kind = "payment" if (self.names + place) % 4 else "label"
            rows.append((kind, f"t-{self.names}", b'"' + b"x" * size + b'"'))
        return rows

    @rule(count=st.integers(1, 6), size=st.sampled_from([2, 300, 9_000]))
    def append_a_group(self, count: int, size: int) -> None:
        rows = self._rows(count, size)

        async def together() -> None:
            await asyncio.gather(*[self.ledger.append(kind, name, 1, 2, body) for kind, name, body in rows])

        self.runner.run(together())
        self.acknowledged += rows

    @rule(size=st.sampled_from([2, 9_000]))
    def append_at_once(self, size: int) -> None:
        (row,) = self._rows(1, size)
        seq = self.ledger.append_now(row[0], row[1], 1, 2, row[2])
        self.acknowledged.append(row)
        assert seq == self.ledger.last_seq()

    @precondition(lambda self: any(kind == "payment" for kind, _, _ in self.acknowledged))
    @rule(data=st.data(), others=st.integers(0, 3))
    def append_a_payment_twice(self, data: st.DataObject, others: int) -> None:
        """The file itself refuses a second event of one payment, with all of its group, and every ticket fails."""
        known = data.draw(st.sampled_from([name for kind, name, _ in self.acknowledged if kind == "payment"]))
        rows: list[Row] = [*self._rows(others, 2), ("payment", known, b'"other"')]

        async def together() -> list[object]:
            waiting = [self.ledger.append(kind, name, 1, 2, body) for kind, name, body in rows]
            return list(await asyncio.gather(*waiting, return_exceptions=True))

        assert all(isinstance(one, LedgerError) for one in self.runner.run(together()))
        # What follows was decided from a state that holds what is not recorded: nothing more until it is mended.
        rows = self._rows(1, 2)
        assert all(isinstance(one, LedgerError) for one in self.runner.run(together()))
        self.ledger.resume_writes()

    @rule()
    def copy_the_log_back(self) -> None:
        checkpoint_once(self.ledger.path)
        self.durable = self._wal().stat().st_size if self._wal().exists() else 0

    @rule()
    def give_the_log_room(self) -> None:
        """What lies beyond its frames is ignored, whatever comes next."""
        preallocate(self._wal(), ahead=1 << 16, least=0)

    @rule()
    def empty_the_log(self) -> None:
        self.ledger.restart_wal()
        self.durable = 0

    @rule()
    def stop_and_start(self) -> None:
        path = self.ledger.path
        self.ledger.close()
        self.ledger = Ledger(path)
        self.durable = 0

    @rule(queued=st.integers(0, 3))
    def kill_and_start(self, queued: int) -> None:
        """What is queued was never acknowledged and may be lost; nothing else is."""
        rows = self._rows(queued, 2)

        async def queue_and_die() -> None:
            for kind, name, body in rows:
                self.ledger.append(kind, name, 1, 2, body)
            self._leave_files()

        self.runner.run(queue_and_die())
        self._open_files()

    @rule(cut=st.floats(0, 1), noise=st.booleans())
    def lose_the_machine_and_start(self, cut: float, noise: bool) -> None:
        """The end of the log was not on the disk yet, or torn: what is left is a beginning without holes."""
        self._leave_files()
        log = self.left / "ledger.sqlite-wal"
        if log.exists():
            whole = log.read_bytes()
            keep = self.durable + int((len(whole) - self.durable) * cut)
            lost = whole[keep:]
            log.write_bytes(whole[:keep] + (bytes(byte ^ 0xA5 for byte in lost) if noise else b""))
        self._open_files()
        found = self.ledger.count()
        assert found <= len(self.acknowledged)
        self.acknowledged = self.acknowledged[:found]

    def _leave_files(self) -> None:
        """Copy what a dead process leaves: everything but its shared memory."""
        self.left = self.folder / str(self.places + 1)
        self.left.mkdir()
        for name in ("ledger.sqlite", "ledger.sqlite-wal"):
            if (self.ledger.path.parent / name).exists():
                shutil.copy(self.ledger.path.parent / name, self.left / name)

    def _open_files(self) -> None:
        self.ledger.release()
        self._open()
        assert self.ledger.path.parent == self.left

    @invariant()
    def the_file_holds_what_was_acknowledged_once_and_in_order(self) -> None:
        if not hasattr(self, "ledger"):
            return
        events = list(self.ledger.walk())
        assert [(event.kind, event.transaction_id, event.body) for event in events] == self.acknowledged
        assert [event.seq for event in events] == sorted({event.seq for event in events})
        payments = [name for kind, name, _ in self.acknowledged if kind == "payment"]
        assert len(payments) == len(set(payments))
        assert all(self.ledger.payment(name) is not None for name in payments[-3:])

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            again = Ledger(self.ledger.path, read_only=True)
            assert again.count() == len(self.acknowledged)
            again.release()
        self.runner.close()
        shutil.rmtree(self.folder)


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(
    max_examples=50, stateful_step_count=25, suppress_health_check=list(HealthCheck), derandomize=True
)


def test_a_hole_would_be_noticed() -> None:
    """The machine can fail: an event that was not acknowledged is found."""
    machine = LedgerMachine()
    machine.begin()
    machine.append_at_once(2)
    machine.ledger.append_now("label", "t-unknown", 1, 2, b'"x"')
    with pytest.raises(AssertionError):
        machine.the_file_holds_what_was_acknowledged_once_and_in_order()
    machine.acknowledged.append(("label", "t-unknown", b'"x"'))
    machine.teardown()
