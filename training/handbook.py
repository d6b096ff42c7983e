"""The main job on real input: train by the Handbook's protocols, serve every test payment over HTTP, compare."""

from __future__ import annotations

import datetime as dt
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from features.bundle import write_bundle
from features.catalog import catalog
from features.history import times_ms
from features.views import service_name
from training.dataset import write_history
from training.frame import Frame, frame
from training.live import Connection, ServiceTrouble, free_port, running, serving
from training.mapping import Dataset, load
from training.metrics import auc, average_precision
from training.pipeline import Trained, file_digest, train
from training.present import progress
from training.protocol import handbook_week_metrics, unknown_customers
from training.settings import Settings
from training.shapes import Floats
from training.stream import SCORE, Message, before, stream

TRAIN_FROM = pd.Timestamp("2018-07-25", tz="UTC")
FRAME_FROM = dt.datetime(2018, 5, 9, tzinfo=dt.UTC)
DAY_MS = 86_400_000


class Served(msgspec.Struct, frozen=True):
    """What one protocol gave, from the scores as served."""

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
        """All disagreements: verify's, vectors against the replay, scores against the model."""
        return self.verify_mismatches + self.vector_mismatches + self.score_mismatches


@dataclass(frozen=True)
class Job:
    """What both protocols share: the data set, its whole history, the frame and where things are kept."""

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


def handbook(data: Path, settings: Settings, console: Console) -> tuple[Served, ...]:
    """Train, serve and judge the single week and the long protocol.

    Raises:
        InvalidHistory: the data cannot be read.
        ServiceTrouble: the service did not do its part.
    """
    folder, dataset = settings.var / "handbook", load("handbook")
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "history.parquet"
    with console.status("reading the Handbook's payments"):
        write_history(dataset, data, source)
        history = pq.read_table(source)
    with progress(console, history.num_rows) as listener:
        listener.stage("replaying 183 days through the kernel")
        payments = frame(history, catalog(dataset.catalogue()), since=FRAME_FROM, progress=listener.events)
    job = Job(dataset, history, payments, file_digest(source), folder, console)
    return tuple(serve_protocol(job, name) for name in ("week", "long"))


def serve_protocol(job: Job, name: str) -> Served:
    """One protocol from training to figures: its own ledger, its own service process."""
    began = time.monotonic()
    recipe, own = job.dataset.recipe(name), job.folder / name
    shutil.rmtree(own, ignore_errors=True)  # a ledger takes one past, once
    own.mkdir(parents=True)
    known = catalog(job.dataset.catalogue())
    with progress(job.console) as listener:
        trained = train(
            job.payments, known, recipe, job.dataset.delay, dataset=job.dataset.name, recipe_name=name,
            data_digest=job.digest, on_stage=listener.stage, on_tree=listener.trees,
        )  # fmt: skip
    write_bundle(trained.bundle(name, f"handbook-{name}", service_name(known)), own / "bundle")

    test = trained.test
    from_ms = int(test.payments["event_time"].iloc[0].floor("D").value // 1_000_000)
    until_ms = from_ms + int(recipe.split.test_days * DAY_MS)
    port, log = free_port(), own / "service.log"
    place = {"VAR": str(own / "var"), "BUNDLE": str(own / "bundle"), "CLOCK": "replay", "API_KEY": "", "PROFILES": ""}
    with job.console.status("letting the past into the service's ledger"):
        pq.write_table(before(job.history, from_ms), own / "past.parquet", compression="lz4")
        serving(["import-history", str(own / "past.parquet"), "--until-ms", str(from_ms)], log, **place)
    with (
        job.console.status("starting the service"),
        running(["run", "--port", str(port)], port, "/readyz", log, **place),
    ):
        answers, labels, seconds = _send(job, port, stream(job.history, from_ms, until_ms), from_ms, until_ms)
    with job.console.status("verifying the ledger and comparing every vector with the replay"):
        verified = _verify(own, log, place)
        serving(["export-vectors", str(own / "vectors.parquet")], log, **place)
        vectors, scores = _differences(own / "vectors.parquet", trained)

    ids = test.payments["transaction_id"]
    if len(answers) != len(test) or (ids != [a.transaction_id for a in answers]).any():
        raise ServiceTrouble("The service answered other payments than the test holds.", f"See {log}.")
    served = np.asarray([np.nan if a.score is None else a.score for a in answers])
    return _judged(
        job, name, test, served, payments_sent=len(answers), labels_sent=labels,
        requests_per_second=(len(answers) + labels) / seconds, below_full_tier=sum(a.tier != "full" for a in answers),
        verify_mismatches=verified, vector_mismatches=vectors, score_mismatches=scores,
        seconds=time.monotonic() - began,
    )  # fmt: skip


def _send(
    job: Job, port: int, messages: Iterator[Message], from_ms: int, until_ms: int
) -> tuple[list[_Answer], int, float]:
    """Send everything in order on one connection; the answers, the number of labels and the seconds taken."""
    sent: list[str] = []
    read = msgspec.json.Decoder(_Answer).decode

    def noted() -> Iterator[Message]:
        for message in messages:
            sent.append(message[0])
            yield message

    answers, labels = [], 0
    connection, began = Connection(port), time.monotonic()
    times = times_ms(job.history["event_time"])
    expected = int(((times >= from_ms) & (times < until_ms)).sum())
    try:
        with progress(job.console, expected) as listener:
            listener.stage(f"sending {expected:,} payments and their labels in order of time")
            for i, (status, body) in enumerate(connection.exchange(noted())):
                if status != 200:
                    raise ServiceTrouble(
                        f"{sent[i]} answered {status}: {body.decode()[:300]}", "See the service's log."
                    )
                if sent[i] == SCORE:
                    answers.append(read(body))
                    if len(answers) % 500 == 0 and listener.events:
                        listener.events(500)
                else:
                    labels += 1
    finally:
        connection.close()
    return answers, labels, time.monotonic() - began


def _verify(own: Path, log: Path, place: dict[str, str]) -> int:
    report = own / "verify.json"
    try:
        serving(["verify", "--report", str(report)], log, **place)
    except ServiceTrouble:
        if not report.is_file():  # code 1 says that there are mismatches: they are in the report
            raise
    return int(msgspec.json.decode(report.read_bytes())["mismatches"])


def _differences(file: Path, trained: Trained) -> tuple[int, int]:
    """Payments whose served vector, and whose served score, is not bit for bit that of the replayed frame."""
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
        # NaN is a payment without a score: `below_full_tier` counts it.
        scores += int(((given != trained.test_scores[rows]) & ~np.isnan(given)).sum())
        place += batch.num_rows
    return vectors + len(test) - place, scores


def _judged(job: Job, name: str, test: Frame, served: Floats, **rest: object) -> Served:
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
    return msgspec.convert({"protocol": name, **figures, **rest}, Served)
