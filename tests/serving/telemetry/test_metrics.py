"""Every exported metric is documented, every metric of the dashboard exists, and counting is cheap."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import prometheus_client
from prometheus_client.parser import text_string_to_metric_families

from serving.telemetry import dashboards
from serving.telemetry.histogram import MILLISECONDS, Histogram
from tests.serving.scoring_world import Service, payment, suspicious

FOLDER = Path(dashboards.__file__).parent
ROW = re.compile(r"^\| `([a-z_]+)` \| (\w+) \| ([^|]*) \| ([^|]+) \|$", re.M)
#: Shown by the production profile alone, or by a service with a challenger.
ELSEWHERE = re.compile(r"riskgate_(recorder|redis|challenger|unsettled|without_state)")


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


def test_our_histogram_agrees_with_the_librarys_and_costs_less() -> None:
    registry = prometheus_client.CollectorRegistry()
    theirs = prometheus_client.Histogram("h", "h", ["tier"], buckets=MILLISECONDS, registry=registry)
    ours = Histogram(MILLISECONDS)
    values = [place * 3.7e-5 for place in range(1, 20_000)]
    timings = []
    for observe in (ours.observe, lambda value: theirs.labels("full").observe(value)):
        began = time.perf_counter()
        for value in values:
            observe(value)
        timings.append(time.perf_counter() - began)
    assert timings[0] < timings[1]
    buckets = {
        sample.labels["le"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "h_bucket"
    }
    assert buckets == dict(ours.buckets())
