"""The rehearsal from an empty folder to its report, on real servers: every payment of three runs is answered.

How fast is not judged here, the machine may be busy.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psycopg
import pytest
import redis
from rich.console import Console

from tests.serving.servers import servers_here
from training.load_test.page import write_report
from training.load_test.rehearsal import rehearse
from training.settings import Settings

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(280)]


def test_a_small_night_on_the_production_profile(tmp_path: Path) -> None:
    with servers_here(tmp_path / "redis") as (redis_url, postgres):
        url = f"{postgres}/postgres"
        settings = Settings(var=tmp_path / "var", redis_url=redis_url, postgres_url=url)
        console = Console(record=True, width=140, quiet=True)
        rehearsal = rehearse(settings, console, small=True, trees=40)
        write_report(rehearsal, settings.var, console)
        with redis.Redis.from_url(redis_url) as client:
            assert not list(client.scan_iter("riskgate_festival_*", count=1000))
        with psycopg.connect(urlsplit(url)._replace(path="/postgres").geturl()) as session:
            (left,) = session.execute(
                "SELECT count(*) FROM pg_database WHERE datname LIKE 'riskgate_festival_%'"
            ).fetchone() or (None,)
        assert left == 0
    assert rehearsal.profile == "production"
    for run in (rehearsal.festival, rehearsal.rest_of_the_day, rehearsal.normal_day):
        assert run.served == run.offered > 300
        assert sum(second.offered for second in run.seconds) == run.offered
        assert set(run.tiers) <= {"full", "stale", "rules_only", "default"}
    assert rehearsal.festival.peak_per_second > 8 * rehearsal.festival.seconds[0].offered, "midnight brings the rush"
    written_down = msgspec.json.decode((settings.var / "festival.json").read_bytes())
    for name in (
        "offered", "served", "missed_deadlines", "p99_ms", "tiers", "insult_ratio_to_normal_day", "fraud_value_caught"
    ):  # fmt: skip
        assert name in written_down
    assert "11/11, the night, second by second" in (settings.var / "festival.html").read_text(encoding="utf-8")
