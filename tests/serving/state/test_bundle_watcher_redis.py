"""A promoted champion takes over in every worker under load: no request is lost, and the change is recorded once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving.ledger.event_bodies import decode_promotion
from serving.ledger.open import opened
from serving.settings import read_settings
from tests.serving.load import calling
from tests.serving.profiles import Production, ProductionService, figures
from tests.serving.scoring_world import payment
from tests.serving.state.test_bundle_watcher import put, until, version


@pytest.fixture
def production(server_urls: tuple[str, str]) -> Iterator[Production]:
    profile = Production(server_urls)
    yield profile
    profile.close()


def taken(service: ProductionService) -> int:
    """How many workers have taken over another bundle."""
    texts = [httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text for port in service.own_ports]
    return sum('riskgate_bundle_swaps_total{result="taken"} 1.0' in text for text in texts)


def test_champions_change_in_all_workers_under_load_without_a_lost_request(
    production: Production, bundle: Path, tmp_path: Path
) -> None:
    served = tmp_path / "served"
    put(version(bundle, "1", tmp_path / "v1"), served)
    with production.running(tmp_path, served, workers=2, RISKGATE_SWAP_SECONDS="1") as service:
        assert isinstance(service, ProductionService)
        with calling(service.port) as callers:
            callers.wait_for(50)
            put(version(bundle, "2", tmp_path / "v2"), served)
            until(lambda: taken(service) == 2)
            callers.wait_for(50)
            heard = callers.end()
        assert {service.score(payment(f"after-{n}")).json()["model"] for n in range(6)} == {"risk@2"}
        assert not heard.unanswered
        assert not heard.refusals
        assert {answer["model"] for answer in heard.answers.values()} == {"risk@1", "risk@2"}
        production.settle(service)
        assert service.stop() == 0
        proved = figures(service)
        assert (proved["mismatches"], proved["undecided"]) == (0, 0)
        with opened(read_settings(service.environment).ledger) as ledger:
            assert [decode_promotion(one.body).model for one in ledger.of_kind("promotion")] == ["risk@1", "risk@2"]
            names = [event.transaction_id for event in ledger.walk() if event.kind == "payment"]
        assert len(names) == len(set(names))
        assert heard.recorded() <= set(names)
