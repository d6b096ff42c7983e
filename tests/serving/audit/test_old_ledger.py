"""A ledger of an earlier release verifies without a difference, and the service starts with it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from pathlib import Path

import pytest

from features.domain.payment import OUTCOMES
from features.intake.parse import payment_from, stored_payment
from serving.audit.verify import verify_ledger
from serving.decision.receipt import decode_answer, decode_body
from serving.ledger.event_bodies import decode_promotion, decode_report
from serving.ledger.sqlite.ledger import Ledger
from serving.model import bundle_archive
from serving.settings import Settings
from serving.state.fold import Fold
from tests.chaos.proof import apart, packed
from tests.fixtures.ledgers import CLEAR_V1, OLD_LEDGERS, OldLedger
from tests.serving.asgi import runtime_with
from tests.serving.scoring_world import Service, command, payment
from training.client.service_process import free_port

each_ledger = pytest.mark.parametrize("old", OLD_LEDGERS, ids=lambda old: old.archive)


def champion(settings: Settings) -> Path:
    """The kept copy of the bundle that decided last."""
    ledger = Ledger(settings.ledger.sqlite, read_only=True)
    last = decode_promotion(ledger.of_kind("promotion")[-1].body)
    ledger.release()
    return settings.var / "bundles" / bundle_archive.folder_name(last.bundle, last.policy)


@each_ledger
def test_every_decision_of_an_old_ledger_is_recomputed_without_a_difference(old: OldLedger, tmp_path: Path) -> None:
    result = verify_ledger(old.unpack(tmp_path).ledger)
    assert result.differences == []
    assert (result.events, result.payments, result.vectors) == (old.events, old.payments, old.vectors)
    assert (result.mismatches, result.undecided) == (0, 0)


def test_the_old_ledger_holds_payments_of_every_kind(tmp_path: Path) -> None:
    ledger = Ledger(CLEAR_V1.unpack(tmp_path).ledger.sqlite, read_only=True)
    kinds: Counter[str] = Counter()
    found: set[object] = set()
    for event in ledger.walk():
        kinds[event.kind] += 1
        if event.kind == "outcome":
            assert decode_report(event.body).value in OUTCOMES
        if event.kind == "payment":
            body = decode_body(event.body)
            answer = decode_answer(body.answer)
            found |= {answer.tier, answer.decision, *body.receipt.breakers, *answer.rules, answer.model}
            found.add(("explained approval", body.receipt.explain_approved and answer.decision == "approve"))
            found.add(("softened", answer.decision, answer.score is not None and bool(body.receipt.breakers)))
    ledger.release()
    assert found >= {"full", "stale", "rules_only", "default", "approve", "challenge", "review", "decline"}
    assert found >= {"model", "card_testing_small_10m", "block_list_payer", "allow_list_payee", "risk@1", "risk@2"}
    assert found >= {("explained approval", True), *(("softened", one, True) for one in ("challenge", "review"))}
    assert min(kinds[kind] for kind in ("label", "outcome", "verdict", "profile", "promotion", "history")) > 0


@each_ledger
def test_the_service_starts_on_an_old_ledger_and_its_state_is_the_fold_of_it(
    old: OldLedger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = old.unpack(tmp_path)
    (snapshot,) = (settings.var / "snapshots").iterdir()
    runtime = runtime_with(settings, champion(settings))
    runtime.load()
    (skipped,) = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert skipped.startswith(f"snapshot {snapshot.name} is not used: It has no digest")
    engine = runtime.engine
    assert engine is not None
    whole = Fold(engine.catalogue, settings.var / "segments")
    for event in runtime.ledger.walk():
        whole.apply(event)
    live = engine.fold.state
    assert apart(packed(live, engine.catalogue), packed(whole.state, engine.catalogue)) == 0
    assert (live.too_late, live.entities()) == (whole.state.too_late, whole.state.entities())

    earlier = next(event for event in runtime.ledger.walk() if event.kind == "payment")
    recorded = decode_body(earlier.body)

    async def go_on() -> bytes:
        again = await engine.answer(stored_payment(recorded.payment), engine.now_ns())
        later = payment_from(payment("later", attributes={}), engine.catalogue, runtime.names)
        await engine.answer(later, engine.now_ns())
        return again.answer

    assert asyncio.run(go_on()) == bytes(recorded.answer)
    asyncio.run(runtime.end())
    result = verify_ledger(settings.ledger)
    assert (result.payments, result.mismatches) == (old.payments + 1, 0)


def test_the_real_process_starts_on_an_old_ledger_and_every_command_reads_it(tmp_path: Path) -> None:
    settings = CLEAR_V1.unpack(tmp_path)
    log = tmp_path / "service.log"
    service = Service(settings.var, champion(settings), free_port(), log)
    try:
        service.wait_until_ready()
        assert service.receipt("a-0")["receipt"]["tier"] == "full"
    finally:
        assert service.stop() == 0
    assert "Traceback" not in log.read_text()
    for arguments in (("verify",), ("export-history", str(tmp_path / "out.parquet")), ("snapshot",)):
        done = command(service.environment, *arguments)
        assert done.returncode == 0, done.stderr
