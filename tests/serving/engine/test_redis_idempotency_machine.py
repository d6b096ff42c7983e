"""Two workers under a machine that crowds, contradicts and dies between trips: one payment, one event, one answer."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from features.domain.payment import Payment
from features.intake.parse import payment_json
from serving.engine.clustered.engine import RedisEngine
from serving.engine.retry_identity import content_digest
from serving.errors import Conflict
from tests.serving.redis_store.redis_world import Shared
from tests.serving.scoring_world import START_MS
from tests.serving.servers import own_prefix

IDS = st.integers(0, 4)
CONTENTS = st.integers(0, 2)
WORKERS = st.integers(0, 1)


class SharedIdempotencyMachine(RuleBasedStateMachine):
    """`answers` is what callers were told and for which content; `admitted` what a dead worker left undecided."""

    url: ClassVar[str]
    bundle: ClassVar[Path]
    folder: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.ending = ExitStack()
        self.runner = asyncio.Runner()
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.admitted: dict[str, int] = {}

    @initialize()
    def begin(self) -> None:
        prefix = self.ending.enter_context(own_prefix(self.url))
        self.shared = Shared(self.url, prefix, self.bundle, self.folder / prefix)
        self.stacks = [AsyncExitStack(), AsyncExitStack()]
        self.workers = [self._worker(stack) for stack in self.stacks]

    def _worker(self, stack: AsyncExitStack) -> RedisEngine:
        return self.runner.run(stack.enter_async_context(self.shared.worker()))

    def _payment(self, number: int, content: int) -> Payment:
        moment, payer = START_MS + number * 1_000, f"u-{number % 2}"
        return self.shared.payment(f"t-{number}", at_ms=moment, amount_minor=10_000 + content, payer_id=payer)

    async def _send(self, worker: int, number: int, content: int) -> bytes | None:
        """The answer, None for a conflict."""
        engine = self.workers[worker]
        try:
            return (await engine.answer(self._payment(number, content), engine.now_ns())).answer
        except Conflict:
            return None

    @rule(number=IDS, callers=st.lists(st.tuples(WORKERS, CONTENTS), min_size=1, max_size=6))
    def callers_at_once(self, number: int, callers: list[tuple[int, int]]) -> None:
        async def crowd() -> list[bytes | None]:
            return list(await asyncio.gather(*[self._send(worker, number, content) for worker, content in callers]))

        answers, name = self.runner.run(crowd()), f"t-{number}"
        if name not in self.answers:
            accepted = {content for (_, content), one in zip(callers, answers, strict=True) if one is not None}
            if name in self.admitted:
                assert accepted <= {self.admitted[name]}
            else:
                assert len(accepted) == 1
            if accepted:
                reply = next(one for one in answers if one is not None)
                self.answers[name] = (accepted.pop(), reply)
                self.admitted.pop(name, None)
        content_told, told_before = self.answers.get(name, (self.admitted.get(name), None))
        for (_, content), answer in zip(callers, answers, strict=True):
            assert answer == (told_before if content == content_told else None)

    @rule(number=IDS, content=CONTENTS)
    def a_worker_dies_between_the_trips(self, number: int, content: int) -> None:
        """It was admitted and nobody was told: a retry of the same content decides it, as it was then."""
        one = self._payment(number, content)
        written = payment_json(one)

        async def admit_and_die() -> bool:
            async with self.shared.worker() as engine:
                entry, later = engine.strings.entry(one), engine.now_ns() + 10**10
                found = await engine.state.admit(one, entry, written, content_digest(written), 0, 0, later)
                return found.known is None

        if self.runner.run(admit_and_die()):
            assert f"t-{number}" not in self.answers
            self.admitted[f"t-{number}"] = content

    @rule(worker=WORKERS)
    def restart(self, worker: int) -> None:
        self.runner.run(self.stacks[worker].aclose())
        self.workers[worker] = self._worker(self.stacks[worker])

    @rule(worker=WORKERS, number=IDS, content=CONTENTS)
    def try_out(self, worker: int, number: int, content: int) -> None:
        """A dry run counts nothing and binds nobody."""
        self.runner.run(self.workers[worker].dry_run(self._payment(number, content)))

    @invariant()
    def one_event_a_payment_with_the_answer_that_was_told(self) -> None:
        if not hasattr(self, "shared"):
            return
        names = [event.transaction_id for event in self.shared.events() if event.kind == "payment"]
        assert sorted(names) == sorted([*self.answers, *self.admitted])
        found = {name: bytes(body.answer) for name, body in self.shared.bodies().items()}
        assert found == {name: answer for name, (_, answer) in self.answers.items()}

    def teardown(self) -> None:
        if hasattr(self, "shared"):
            for stack in self.stacks:
                self.runner.run(stack.aclose())
            result = self.shared.verified()
            assert result.mismatches == 0, result.differences
            assert self.shared.live_state() == self.shared.rebuilt_state()
            self.shared.client.close()
        self.runner.close()
        self.ending.close()


def test_never_two_events_and_never_another_answer_from_any_worker(
    server_urls: tuple[str, str], bundle: Path, tmp_path: Path
) -> None:
    machine = SharedIdempotencyMachine
    machine.url, machine.bundle, machine.folder = server_urls[0], bundle, tmp_path
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=12,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
