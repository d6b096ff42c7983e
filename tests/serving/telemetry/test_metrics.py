"""Every exported metric is documented, every metric of the dashboard exists, and no count is lost."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from serving.telemetry import dashboards
from serving.telemetry.metrics import Metrics
from tests.serving.scoring_world import Service, payment, suspicious

FOLDER = Path(dashboards.__file__).parent
ROW = re.compile(r"^\| `([a-z_]+)` \| (\w+) \| ([^|]*) \| ([^|]+) \|$", re.M)
#: Shown by the production profile alone, or by a service with a challenger.
ELSEWHERE = re.compile(r"riskgate_(bounds|recorder|redis|challenger|unsettled|without_state|dropped|unrecorded)")


def documented() -> dict[str, tuple[str, str, str]]:
    """Metric -> (kind, labels, meaning) of the table."""
    rows = ROW.findall((FOLDER / "README.md").read_text())
    return {name: (kind, ", ".join(re.findall(r"`(\w+)`", labels)), meaning) for name, kind, labels, meaning in rows}


def exported(service: Service) -> dict[str, tuple[str, str, str]]:
    """The same of a running service."""
    found = {}
    for family in text_string_to_metric_families(service.client.get("/metrics").text):
        labels = sorted({name for sample in family.samples for name in sample.labels} - {"le"})
        name = family.name + ("_total" if family.type == "counter" else "")
        found[name] = (family.type, ", ".join(labels), family.documentation)
    return found


def exercised(service: Service) -> Service:
    service.score(payment("m-1"))
    service.score(payment("m-1"))
    service.score(suspicious("m-2", payer_id="u-blocked"))
    service.score(suspicious("m-3"), "?dry_run=1")
    service.score(payment("m-4", ip="nowhere"))
    service.post("/v1/outcomes", {"transaction_id": "m-1", "outcome": "declined", "event_time": "2026-11-11T00:00:04Z"})
    return service


def test_the_table_of_metrics_is_what_a_running_service_exports(service: Service) -> None:
    found = exported(exercised(service))
    rows = "\n".join(
        f"| `{name}` | {kind} | {', '.join(f'`{one}`' for one in labels.split(', ') if one)} | {meaning} |"
        for name, (kind, labels, meaning) in sorted(found.items())
    )
    here = {name: row for name, row in documented().items() if not ELSEWHERE.match(name)}
    assert here == {name: row for name, row in found.items() if not ELSEWHERE.match(name)}, "write:\n" + rows


def test_every_query_of_the_dashboard_asks_for_metrics_that_exist() -> None:
    dashboard = json.loads((FOLDER / "riskgate.json").read_text())
    known = {name: kind for name, (kind, _, _) in documented().items()}
    samples = {
        sample
        for name, kind in known.items()
        for sample in ([f"{name}_bucket", f"{name}_sum", f"{name}_count"] if kind == "histogram" else [name])
    }
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(r"(?:riskgate|process)_\w+", query)}
    assert asked <= samples, sorted(asked - samples)
    # And the other way round: a metric that no panel shows is one that no operator sees.
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) if name not in known else name for name in asked}
    unseen = {name for name in known if name.startswith("riskgate")} - shown
    assert not unseen, sorted(unseen)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_a_payment_counts_once_with_its_decision_tier_score_and_misses(service: Service) -> None:
    before = samples_of(service)
    answer = service.score(suspicious("count-1", payer_id="u-new", device_id="d-new", ip=None)).json()
    after = samples_of(service)

    def grown(name: str) -> float:
        return after.get(name, 0.0) - before.get(name, 0.0)

    labels = f'decision="{answer["decision"]}",tier="full"'
    assert grown(f"riskgate_score_seconds_count{{{labels}}}") == 1
    assert grown(f"riskgate_decisions_total{{{labels}}}") == 1
    assert grown("riskgate_scores_count") == 1
    assert abs(grown("riskgate_scores_sum") - answer["score"]) < 1e-9
    assert grown('riskgate_state_misses_total{entity="payer"}') == 1
    assert grown('riskgate_state_misses_total{entity="device"}') == 1
    assert grown('riskgate_state_misses_total{entity="ip"}') == 0  # not sent is not a miss
    assert grown("riskgate_ledger_commit_seconds_count") >= 1
    assert grown('riskgate_requests_total{route="/v1/score",status="200"}') == 1


def samples_of(service: Service) -> dict[str, float]:
    rows = [line.rpartition(" ") for line in service.client.get("/metrics").text.splitlines() if line[0] != "#"]
    return {name: float(value) for name, _, value in rows}


def test_combinations_that_never_occurred_count_0_and_have_no_histogram() -> None:
    metrics = Metrics()
    metrics.decided("review", "full", 0.0042)
    text = metrics.text().decode()
    assert 'riskgate_decisions_total{decision="review",tier="full"} 1.0' in text
    assert 'riskgate_decisions_total{decision="decline",tier="stale"} 0.0' in text
    assert 'riskgate_score_seconds_bucket{decision="review",le="0.003",tier="full"} 0.0' in text
    assert 'riskgate_score_seconds_bucket{decision="review",le="0.005",tier="full"} 1.0' in text
    assert 'riskgate_score_seconds_count{decision="decline"' not in text
    assert 'riskgate_bundle_swaps_total{result="refused"} 0.0' in text
    assert "_created" not in text


def test_no_count_is_lost_between_threads() -> None:
    metrics = Metrics()

    def count() -> None:
        for _ in range(2_000):
            metrics.answered("/v1/score", 200)
            metrics.decided("approve", "full", 0.001)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    text = metrics.text().decode()
    assert 'riskgate_requests_total{route="/v1/score",status="200"} 16000.0' in text
    assert 'riskgate_score_seconds_count{decision="approve",tier="full"} 16000.0' in text
