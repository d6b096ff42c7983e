"""Idempotency under a machine that retries, contradicts, crowds and kills: one payment, one event, one answer."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from features.domain.payment import Payment
from features.intake.parse import payment_from
from serving.audit.verify import verify_ledger
from serving.decision.clock import ReplayClock
from serving.decision.receipt import decode_body
from serving.engine.embedded.engine import EmbeddedEngine
from serving.errors import Conflict
from serving.ledger.sqlite.ledger import Ledger
from serving.settings import Settings
from serving.state import snapshots
from serving.state.startup import Opened, fold_ledger, note_promotion, open_bundle
from serving.store_config import LedgerConfig
from tests.serving.scoring_world import START_MS, payment, suspicious

IDS = st.integers(0, 5)
CONTENTS = st.integers(0, 2)


class IdempotencyMachine(RuleBasedStateMachine):
    """The embedded engine over a real ledger; `answers` is what callers were told, by transaction."""

    bundle: ClassVar[Path]
    opened: ClassVar[Opened]

    def __init__(self) -> None:
        super().__init__()
        self.settings = Settings(var=Path(tempfile.mkdtemp(prefix="idempotency-machine-")) / "var", clock="replay")
        self.runner = asyncio.Runner()
        self.answers: dict[str, tuple[int, bytes]] = {}

    @initialize()
    def begin(self) -> None:
        open_bundle(self.bundle, self.settings.ledger)
        self._start()
        note_promotion(self.ledger, self.opened, "test", START_MS)

    def _start(self) -> None:
        self.ledger = Ledger(self.settings.ledger.sqlite)
        self.ledger.learn_ids()
        self.fold = fold_ledger(self.ledger, self.opened.catalogue, self.settings.ledger)
        self.engine = EmbeddedEngine(
            catalogue=self.opened.catalogue,
            fold=self.fold,
            evaluator=self.opened.evaluator,
            ledger=self.ledger,
            clock=ReplayClock(),
            code="test",
        )

    def _payment(self, number: int, content: int) -> Payment:
        make = suspicious if number % 3 == 0 else payment
        fields = make(
            f"t-{number}", START_MS + number * 1_000, amount_minor=10_000 + content, payer_id=f"u-{number % 2}"
        )
        return payment_from(fields, self.opened.catalogue)

    async def _send(self, number: int, content: int) -> bytes | None:
        """The answer, None for a conflict."""
        try:
            scored = await self.engine.answer(self._payment(number, content), time.perf_counter_ns())
        except Conflict:
            return None
        return scored.answer

    @rule(number=IDS, contents=st.lists(CONTENTS, min_size=1, max_size=6))
    def callers_at_once(self, number: int, contents: list[int]) -> None:
        async def crowd() -> list[bytes | None]:
            return list(await asyncio.gather(*[self._send(number, content) for content in contents]))

        answers = self.runner.run(crowd())
        name = f"t-{number}"
        if name not in self.answers:
            first = next((content, one) for content, one in zip(contents, answers, strict=True) if one is not None)
            assert first[0] == contents[0]
            self.answers[name] = first
        accepted, reply = self.answers[name]
        for content, answer in zip(contents, answers, strict=True):
            assert answer == (reply if content == accepted else None)

    @rule(number=IDS, content=CONTENTS)
    def try_out(self, number: int, content: int) -> None:
        """A dry run counts nothing and binds nobody."""
        self.runner.run(self.engine.dry_run(self._payment(number, content)))

    @rule(number=IDS, content=CONTENTS)
    def killed_before_the_answer(self, number: int, content: int) -> None:
        """The process dies with the event queued: nobody was told, so any content may come next."""

        async def score_and_die() -> None:
            with contextlib.suppress(Conflict):
                self.engine.score(self._payment(number, content), time.perf_counter_ns())
            self.ledger.release()

        self.runner.run(score_and_die())
        self.runner.close()
        self.runner = asyncio.Runner()
        self._start()

    @rule(snapshot=st.booleans())
    def restart(self, snapshot: bool) -> None:
        if snapshot:
            self.ledger.flush()
            snapshots.save(self.fold, self.ledger, self.settings.ledger.snapshots)
            self.ledger.close()
        else:
            self.ledger.release()
        self._start()

    @rule()
    def forget_recent_answers(self) -> None:
        """What memory forgets the ledger knows."""
        self.engine._recent.clear()

    @invariant()
    def one_event_a_payment_with_the_answer_that_was_told(self) -> None:
        if not hasattr(self, "ledger"):
            return
        found = {}
        for event in self.ledger.walk():
            if event.kind == "payment":
                assert event.transaction_id not in found
                found[event.transaction_id] = bytes(decode_body(event.body).answer)
        assert found == {name: answer for name, (_, answer) in self.answers.items()}

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            result = verify_ledger(self.settings.ledger)
            assert (result.payments, result.mismatches) == (len(self.answers), 0), result.differences
        self.runner.close()
        shutil.rmtree(self.settings.var.parent)


def test_never_two_events_for_one_payment_and_never_another_answer(bundle: Path, tmp_path: Path) -> None:
    IdempotencyMachine.bundle = bundle
    IdempotencyMachine.opened = open_bundle(bundle, LedgerConfig(tmp_path))
    run_state_machine_as_test(
        IdempotencyMachine,
        settings=settings(
            max_examples=30,
            stateful_step_count=20,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )


def test_the_machine_notices_another_answer(bundle: Path, tmp_path: Path) -> None:
    IdempotencyMachine.bundle = bundle
    IdempotencyMachine.opened = open_bundle(bundle, LedgerConfig(tmp_path))
    machine = IdempotencyMachine()
    machine.begin()
    machine.callers_at_once(1, [0, 0, 1])
    right = machine.answers["t-1"]
    machine.answers["t-1"] = (0, b"{}")
    with pytest.raises(AssertionError):
        machine.callers_at_once(1, [0])
    machine.answers["t-1"] = right
    machine.teardown()
