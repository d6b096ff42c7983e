"""The Handbook job: trains by the Handbook's protocols, scores every test payment over HTTP, compares."""

from __future__ import annotations

import datetime as dt
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from features.bundle.bundle import write_bundle
from features.catalogue.catalogue import Catalogue
from features.domain.payment_fields import LONGEST_DEADLINE_MS
from features.feast_store.views import service_name
from features.history.schema import times_ms
from features.progress import waiting
from training.client.replay_requests import SCORE, Message, before, replay, stream
from training.client.service_process import ServiceTrouble, free_port, running, serving
from training.data.arrays import Floats
from training.data.frame import Frame, frame
from training.data.ingest import write_history
from training.data.source_map import Dataset, load
from training.evaluation.handbook_protocol import handbook_week_metrics, unknown_customers
from training.evaluation.metrics import auc, average_precision
from training.runs.pipeline import Trained, file_digest, train
from training.runs.terminal import progress
from training.settings import Settings

TRAIN_FROM = pd.Timestamp("2018-07-25", tz="UTC")
FRAME_FROM = dt.datetime(2018, 5, 9, tzinfo=dt.UTC)
DAY_MS = 86_400_000


class ProtocolResult(msgspec.Struct, frozen=True):
    """The figures of one protocol, from the served scores."""

    protocol: str
    auc: float
    ap: float
    cp100: float | None
    payments: int
    frauds: int
    payments_sent: int
    labels_sent: int
    requests_per_second: float
    below_full_tier: int
    verify_mismatches: int
    vector_mismatches: int
    score_mismatches: int
    seconds: float

    @property
    def mismatches(self) -> int:
        """All mismatches: of verify, of vectors against the replay, of scores against the model."""
        return self.verify_mismatches + self.vector_mismatches + self.score_mismatches


@dataclass(frozen=True)
class HandbookJob:
    """The inputs that both protocols share: data set, history, frame, folder."""

    dataset: Dataset
    history: pa.Table
    payments: Frame
    digest: str
    folder: Path
    console: Console


class _Answer(msgspec.Struct):
    transaction_id: str
    score: float | None = None
    tier: str = "full"


def handbook(data: Path, settings: Settings, console: Console) -> tuple[ProtocolResult, ...]:
    """Train, serve and evaluate the single-week and the long protocol.

    Raises:
        InvalidHistory: the data cannot be read.
        ServiceTrouble: the service failed.
    """
    folder, dataset = settings.var / "handbook", load("handbook")
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "history.parquet"
    with waiting(console, "reading the Handbook's payments"):
        write_history(dataset, data, source)
        history = pq.read_table(source)
    with progress(console, history.num_rows) as listener:
        listener.stage("replaying 183 days through the kernel")
        payments = frame(
            history, Catalogue(dataset.catalogue_parameters()), since=FRAME_FROM, progress=listener.advance
        )
    job = HandbookJob(dataset, history, payments, file_digest(source), folder, console)
    return tuple(serve_protocol(job, name) for name in ("week", "long"))


def serve_protocol(job: HandbookJob, name: str) -> ProtocolResult:
    """One protocol from training to figures, with a ledger and a service process of its own."""
    began = time.monotonic()
    recipe, own = job.dataset.recipe(name), job.folder / name
    shutil.rmtree(own, ignore_errors=True)  # a ledger imports one history, once
    own.mkdir(parents=True)
    catalogue = Catalogue(job.dataset.catalogue_parameters())
    with progress(job.console) as listener:
        trained = train(
            job.payments, catalogue, recipe, job.dataset.delay, dataset=job.dataset.name, recipe_name=name,
            data_digest=job.digest, on_stage=listener.stage, on_tree=listener.trees,
        )  # fmt: skip
    write_bundle(trained.bundle(name, f"handbook-{name}", service_name(catalogue)), own / "bundle")

    test = trained.test
    from_ms = int(test.payments["event_time"].iloc[0].floor("D").value // 1_000_000)
    until_ms = from_ms + int(recipe.split.test_days * DAY_MS)
    port, log = free_port(), own / "service.log"
    place = {"VAR": str(own / "var"), "BUNDLE": str(own / "bundle"), "CLOCK": "replay", "API_KEY": "", "PROFILES": ""}
    with waiting(job.console, "letting the past into the service's ledger"):
        pq.write_table(before(job.history, from_ms), own / "past.parquet", compression="lz4")
        serving(["import-history", str(own / "past.parquet"), "--until-ms", str(from_ms)], log, **place)
    with ExitStack() as ending:
        with waiting(job.console, "starting the service"):
            ending.enter_context(running(["run", "--port", str(port)], port, "/readyz", log, **place))
        # Scores are judged here, not how soon they come: a busy machine must not cost a payment its score.
        messages = stream(job.history, from_ms, until_ms, deadline_ms=LONGEST_DEADLINE_MS)
        answers, labels, seconds = _send(job, port, messages, log, from_ms, until_ms)
    with waiting(job.console, "verifying the ledger and comparing every vector with the replay"):
        verified = _verify(own, log, place)
        serving(["export-vectors", str(own / "vectors.parquet")], log, **place)
        vectors, scores = _differences(own / "vectors.parquet", trained)

    ids = test.payments["transaction_id"]
    if len(answers) != len(test) or (ids != [a.transaction_id for a in answers]).any():
        raise ServiceTrouble("The service answered other payments than the test holds.", f"See {log}.")
    return _result(
        job, name, test, _scores_of(answers), payments_sent=len(answers), labels_sent=labels,
        requests_per_second=(len(answers) + labels) / seconds, below_full_tier=sum(a.tier != "full" for a in answers),
        verify_mismatches=verified, vector_mismatches=vectors, score_mismatches=scores,
        seconds=time.monotonic() - began,
    )  # fmt: skip


def _send(
    job: HandbookJob, port: int, messages: Iterator[Message], log: Path, from_ms: int, until_ms: int
) -> tuple[list[_Answer], int, float]:
    """Send all messages in order on one connection; returns the replies, the number of labels and the seconds taken."""
    read = msgspec.json.Decoder(_Answer).decode
    answers, labels = [], 0
    began = time.monotonic()
    times = times_ms(job.history["event_time"])
    expected = int(((times >= from_ms) & (times < until_ms)).sum())
    with progress(job.console, expected) as listener:
        listener.stage(f"sending {expected:,} payments and their labels in order of time")
        for path, _, body in replay(port, messages, log):
            if path != SCORE:
                labels += 1
                continue
            answers.append(read(body))
            if len(answers) % 500 == 0 and listener.advance:
                listener.advance(500)
    return answers, labels, time.monotonic() - began


def _scores_of(answers: list[_Answer]) -> Floats:
    without = sum(answer.score is None for answer in answers)
    if without:
        raise ServiceTrouble(
            f"{without:,} of {len(answers):,} payments were decided without a score: this machine was too busy.",
            "Run the job again while nothing else runs here.",
        )
    return np.asarray([answer.score for answer in answers])


def _verify(own: Path, log: Path, place: dict[str, str]) -> int:
    report = own / "verify.json"
    try:
        serving(["verify", "--report", str(report)], log, **place)
    except ServiceTrouble:
        if not report.is_file():  # exit code 1 means mismatches: they are in the report
            raise
    return int(msgspec.json.decode(report.read_bytes())["mismatches"])


def _differences(file: Path, trained: Trained) -> tuple[int, int]:
    """Numbers of payments whose served vector, and whose served score, differs in any bit from the replayed frame."""
    test, place, vectors, scores = trained.test, 0, 0, 0
    ids = test.payments["transaction_id"].to_numpy(dtype=str)
    for batch in pq.ParquetFile(file).iter_batches(batch_size=1 << 14, columns=["transaction_id", "score", "vector"]):
        rows = slice(place, place + batch.num_rows)
        if not np.array_equal(np.asarray(batch["transaction_id"].to_pylist()), ids[rows]):
            return len(test), len(test)
        own = np.ascontiguousarray(test.values[rows])
        served = batch["vector"].flatten().to_numpy().reshape(own.shape)
        vectors += int((served.view(np.int64) != own.view(np.int64)).any(axis=1).sum())
        given = batch["score"].to_numpy(zero_copy_only=False)
        # NaN is a payment without a score: `_scores_of` refuses those.
        scores += int(((given != trained.test_scores[rows]) & ~np.isnan(given)).sum())
        place += batch.num_rows
    return vectors + len(test) - place, scores


def _result(job: HandbookJob, name: str, test: Frame, served: Floats, **rest: object) -> ProtocolResult:
    if name == "week":
        period = job.payments.between(TRAIN_FROM, TRAIN_FROM + pd.Timedelta(days=21)).payments
        kept = period[unknown_customers(period, TRAIN_FROM)]
        by_id = pd.Series(served, index=test.payments["transaction_id"].to_numpy())
        scores = np.asarray(by_id[kept["transaction_id"]], dtype=np.float64)
        week = handbook_week_metrics(kept, scores)
        figures = {
            "auc": week.auc,
            "ap": week.ap,
            "cp100": week.cp100,
            "payments": week.payments,
            "frauds": week.frauds,
        }
    else:
        fraud = test.fraud
        figures = {"auc": auc(served, fraud), "ap": average_precision(served, fraud), "cp100": None,
                   "payments": len(test), "frauds": int(fraud.sum())}  # fmt: skip
    return msgspec.convert({"protocol": name, **figures, **rest}, ProtocolResult)
