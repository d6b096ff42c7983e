"""Over HTTP: an attack from one party opens no breaker, a model gone wrong does, and the answers say so."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from features.bundle.bundle import read_bundle, write_bundle
from serving.audit.verify import verify_ledger
from serving.store_config import LedgerConfig
from tests.serving.profiles import Profile, both_profiles, figures
from tests.serving.scoring_world import START_MS, Service, payment, running, suspicious

NAMES = itertools.count()
PARTIES = {"device": {"device_id": "d-evil"}, "payer": {"payer_id": "u-evil"}, "payee": {"payee_id": "m-evil"}}


@pytest.fixture(scope="module")
def told_bundle(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the other tests, stricter, with what its model usually declines: breakers can open at the start."""
    known = read_bundle(bundle)
    cuts = {"challenge_at": 0.1, "review_at": 0.2, "decline_at": 0.4}
    policy = msgspec.structs.replace(known.policy, **cuts, usual_decline_share={"model": 0.01})
    return write_bundle(msgspec.structs.replace(known, policy=policy), tmp_path_factory.mktemp("told") / "risk")


def unrelated(**changes: Any) -> dict[str, Any]:
    """A payment that the model declines, of parties that no other payment has."""
    one = next(NAMES)
    parties = {
        "payer_id": f"u-n{one}",
        "instrument_id": f"v-n{one}",
        "payee_id": f"m-n{one}",
        "ip": f"10.9.{one // 250}.{one % 250}",
    }
    return suspicious(f"n-{one}", START_MS + one, **parties | changes)


def decided(service: Service, payments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = service.post("/v1/score/batch", {"payments": payments}).json()["decisions"]
    return answers


def outcomes(answers: list[dict[str, Any]]) -> set[tuple[str, tuple[str, ...]]]:
    return {(one["decision"], tuple(one["missing"])) for one in answers}


@both_profiles
def test_an_attack_softens_nothing_and_a_model_gone_wrong_is_reviewed_and_named(
    profile: Profile, told_bundle: Path, tmp_path: Path
) -> None:
    with profile.running(tmp_path, told_bundle) as service:
        for party, same in PARTIES.items():
            attack = decided(service, [unrelated(**same) for _ in range(200)])
            assert sum(one["decision"] == "decline" for one in attack) > 100, party
            assert all(one["missing"] == [] for one in attack), party
            assert outcomes(decided(service, [unrelated() for _ in range(3)])) == {("decline", ())}, party
        assert service.client.get("/readyz").json()["checks"]["breakers"] == "ok"

        decided(service, [unrelated() for _ in range(60)])  # the model declines unrelated payers
        flagged = service.score(unrelated()).json()
        assert (flagged["decision"], flagged["missing"]) == ("review", ["breaker:model"])
        assert flagged["score"] > 0.7 and flagged["reasons"]
        tried = service.score(unrelated(), "?dry_run=1").json()
        assert (tried["decision"], tried["missing"]) == ("review", ["breaker:model"])
        quiet = service.score(payment("quiet", START_MS + 5_000)).json()
        assert (quiet["decision"], quiet["missing"]) == ("approve", [])
        receipt = service.receipt(flagged["transaction_id"])["receipt"]
        assert (receipt["breakers"], receipt["missing"]) == (["model"], ["breaker:model"])
        sentence = service.client.get("/readyz").json()["checks"]["breakers"]
        assert sentence.startswith("Open, declines are reviews: model asks to decline")
        profile.settle(service)
        assert service.stop() == 0
        found = figures(service)
    assert (found["payments"], found["mismatches"]) == (671, 0)


@pytest.fixture(scope="module")
def softened(told_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a service whose model's breaker softened forty decisions or so."""
    folder = tmp_path_factory.mktemp("softened")
    with running(folder, told_bundle) as service:
        assert ("review", ("breaker:model",)) in outcomes(decided(service, [unrelated() for _ in range(80)]))
    yield folder / "var"


def rewritten(var: Path, folder: Path, *changes: tuple[bytes, bytes]) -> tuple[int, list[str]]:
    """How many softened payments there are once their bytes are replaced, and what `verify` says of them."""
    shutil.copytree(var, folder / "var")
    connection = sqlite3.connect(folder / "var" / "ledger.sqlite")
    rows = connection.execute("SELECT seq, body FROM events WHERE kind = 'payment'").fetchall()
    touched = [(seq, body) for seq, body in rows if b'"breaker:model"' in body]
    for seq, body in touched:
        for old, new in changes:
            assert old in body
            body = body.replace(old, new)
        connection.execute("UPDATE events SET body = ? WHERE seq = ?", (body, seq))
    connection.commit()
    connection.close()
    result = verify_ledger(LedgerConfig(folder / "var"))
    assert result.mismatches in (0, len(touched))
    return len(touched), result.differences


def test_receipts_of_before_were_softened_to_challenges_and_still_verify(softened: Path, tmp_path: Path) -> None:
    """Such a receipt holds the open breaker and names it nowhere else."""
    as_before = (b'"missing":["breaker:model"]', b'"missing":[]'), (b'"decision":"review"', b'"decision":"challenge"')
    count, differences = rewritten(softened, tmp_path, *as_before)
    assert count > 20 and differences == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"missing":["breaker:model"]', b'"missing":[]', "decision 'challenge' instead of 'review'"),
        (b'"decision":"review"', b'"decision":"challenge"', "decision 'review' instead of 'challenge'"),
        (b"breaker:model", b"breaker:other", "softened by ('breaker:model',) instead of ('breaker:other',)"),
        (b'"breakers":["model"]', b'"breakers":[]', "softened by () instead of ('breaker:model',)"),
    ],
)
def test_a_softening_that_was_changed_is_found(
    softened: Path, tmp_path: Path, old: bytes, new: bytes, said: str
) -> None:
    _, differences = rewritten(softened, tmp_path, (old, new))
    assert differences and all(said in one for one in differences)
