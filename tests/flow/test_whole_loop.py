"""The loop closes: a payment becomes a case, the desk's verdict a label, the label part of the next history."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pyarrow.parquet as pq

from features.state.profiles import PayeeProfile, PayerProfile, ProfileFile
from tests.flow.desk_process import console_process
from tests.serving.console.desk_visitor import field
from tests.serving.profiles import Profile, both_profiles
from tests.serving.scoring_world import DAY_MS, START_MS, Service, make_bundle, payment, suspicious

PASSWORD = "correct-horse-battery"


def profiles_at(path: Path) -> None:
    """What is known of one payer and one payee, long before the payments of the test."""
    long_ago = START_MS - 90 * DAY_MS
    times = {"event_time_ms": long_ago, "created_time_ms": long_ago}
    file = ProfileFile(path)
    file.write([
        ("u-42", PayerProfile(**times, known_since_ms=long_ago - DAY_MS, home_country="IN", verification_level=2)),
        ("m-7", PayeeProfile(**times, known_since_ms=long_ago, mcc="5411", country="IN", size=1)),
    ])  # fmt: skip
    file.close()


def until(found: object, seconds: float = 20.0) -> object:
    """What a callable gives once it gives something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = found()  # type: ignore[operator]
        if answer:
            return answer
        time.sleep(0.2)
    raise AssertionError("nothing came in time")


@contextmanager
def desk_of(service: Service) -> Iterator[httpx.Client]:
    """An analyst signed in at the real console process beside the service."""
    added = service.command("user-add", "asha", "--password", PASSWORD)
    assert added.returncode == 0, added.stderr
    with (
        console_process(service.var, service.environment) as address,
        httpx.Client(base_url=address, follow_redirects=True) as desk,
    ):
        visit = field(desk.get("/sign-in").text, "visit")
        assert desk.post("/sign-in", data={"visit": visit, "name": "asha", "password": PASSWORD}).status_code == 200
        yield desk


@both_profiles
def test_a_verdict_at_the_desk_becomes_a_label_a_feature_and_a_row_of_the_next_history(
    profile: Profile, tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    profiles_at(tmp_path / "profiles.sqlite")
    with profile.running(tmp_path, bundle, RISKGATE_PROFILES=str(tmp_path / "profiles.sqlite")) as service:
        assert service.score(payment("t-quiet")).json()["decision"] == "approve"
        flagged = service.score(suspicious("t-bad", START_MS + 1_000)).json()
        assert flagged["decision"] in ("review", "decline")
        assert flagged["tier"] == "full" and 1 <= len(flagged["reasons"]) <= 4

        def frauds_known(at_ms: int, transaction_id: str) -> float:
            service.score(payment(transaction_id, at_ms))
            return float(service.receipt(transaction_id)["values"]["payee_fraud_count_7d"])

        assert frauds_known(START_MS + 2_000, "t-before") == 0.0
        profile.settle(service)
        with desk_of(service) as desk:
            assert "t-bad" in desk.get("/").text
            page = desk.get("/case", params={"id": "t-bad"}).text
            assert flagged["reasons"][0]["text"] in page
            form = {"csrf": field(page, "csrf"), "verdict": "fraud", "note": "The payer denies it."}
            assert desk.post("/case", params={"id": "t-bad"}, data=form).status_code == 200

        moments = iter(range(3_000, 1_000_000))
        until(lambda: frauds_known(START_MS + next(moments), f"t-after-{next(moments)}") == 1.0)
        assert service.receipt("t-quiet")["values"]["payer_verification_level"] == 2.0
        profile.settle(service)
        assert service.stop() == 0
        proved = service.command("verify")
        assert proved.returncode == 0, proved.stderr

        exported = service.command("export-history", str(tmp_path / "next.parquet"))
        assert exported.returncode == 0, exported.stderr
    rows = {row["transaction_id"]: row for row in pq.read_table(tmp_path / "next.parquet").to_pylist()}
    assert (rows["t-bad"]["label"], rows["t-bad"]["label_source"]) == ("fraud", "review")
    assert rows["t-quiet"]["label"] is None
