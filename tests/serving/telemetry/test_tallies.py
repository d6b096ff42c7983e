"""Counters and histograms of the reply path say what the library's own would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest

from serving.telemetry.buckets import MILLISECONDS
from serving.telemetry.tallies import Distribution, Tally

values = st.floats(0, 10) | st.sampled_from(MILLISECONDS)
words = st.sampled_from(["approve", "decline", 'of "quotes"'])


@given(st.lists(st.tuples(values, words), max_size=50))
def test_a_distribution_shows_what_a_histogram_of_the_library_shows(observed: list[tuple[float, str]]) -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    distribution = Distribution("took", "Seconds.", ["decision"], MILLISECONDS)
    ours.register(distribution)
    histogram = Histogram("took", "Seconds.", ["decision"], buckets=MILLISECONDS, registry=theirs)
    for value, word in observed:
        distribution.observe(value, (word,))
        histogram.labels(word).observe(value)
    assert generate_latest(ours) == generate_latest(theirs)


@given(st.lists(words, max_size=20))
def test_a_tally_shows_what_a_counter_of_the_library_shows(counted: list[str]) -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = Tally("made", "Decisions.", ["decision"], [("approve",), ("review",)])
    ours.register(tally)
    counter = Counter("made", "Decisions.", ["decision"], registry=theirs)
    for word in ("approve", "review"):
        counter.labels(word)
    for word in counted:
        tally.counts[(word,)] += 1
        counter.labels(word).inc()
    assert generate_latest(ours) == generate_latest(theirs)
