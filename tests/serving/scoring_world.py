"""A small trained bundle and the real service process, for tests that speak HTTP to it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import lightgbm
import numpy as np
import pyarrow as pa

from features.bundle.bundle import Bundle, Calibrator, write_bundle
from features.bundle.policy import STARTER_RULES, Policy
from features.catalogue.catalogue import Attribute, Catalogue, CatalogueParameters, catalogue
from features.history.schema import history_schema
from features.state.replay import replay
from training.client.service_process import free_port

ROOT = Path(__file__).resolve().parents[2]
START_MS = 1_794_355_203_120  # 11 Nov 2026, 00:00:03.120 UTC
DAY_MS = 86_400_000
PARAMETERS = CatalogueParameters(
    attributes=(
        Attribute("basket_items", "numeric", sentence="Items in the basket.", unit="items"),
        Attribute("sign_in", "categorical", ("otp", "password", "biometric"), "How the payer signed in.", ""),
    )
)
BLOCKED = "u-blocked"
EXPOSURE_MINOR = 100_000


def history(known: Catalogue, count: int = 3_000, end_ms: int = START_MS, seed: int = 7) -> pa.Table:
    """`count` payments of the three days before `end_ms`; dear ones on new devices are mostly fraud."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(end_ms - 3 * DAY_MS, end_ms - 60_000, count))
    rows = []
    for place, moment in enumerate(times.tolist()):
        dear = bool(rng.random() < 0.06)
        payer = int(rng.integers(0, 200))
        row: dict[str, Any] = {
            "transaction_id": f"h-{place}",
            "event_time": moment,
            "amount_minor": int(rng.integers(900_000, 3_000_000) if dear else rng.integers(1_000, 90_000)),
            "currency": "INR",
            "rail": "upi",
            "channel": "online" if dear else "qr_static",
            "payer_id": f"u-{payer}",
            "instrument_id": f"vpa-{payer}",
            "payee_id": f"m-{int(rng.integers(0, 60))}",
            "device_id": f"d-new-{place}" if dear else f"d-{payer}",
            "ip": f"10.0.{payer % 8}.{payer % 200}",
            "mcc": "5411",
            "payer_country": "IN",
            "payee_country": "IN",
        }
        fraud = dear and bool(rng.random() < 0.9)
        row |= {"label": "fraud", "label_source": "chargeback", "label_time": moment + DAY_MS} if fraud else {}
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=history_schema(known.parameters))


def make_bundle(folder: Path, version: str = "1", parameters: CatalogueParameters = PARAMETERS) -> Path:
    """A bundle trained on `history`; seeded, so equal everywhere."""
    known = catalogue(parameters)
    past = history(known)
    frame = replay(past, known)
    columns = np.column_stack([frame[name].to_numpy() for name in known.names])
    labels = np.array([one == "fraud" for one in past["label"].to_pylist()], dtype=float)
    data = lightgbm.Dataset(columns, label=labels, feature_name=list(known.names))
    settings = {"objective": "binary", "num_leaves": 7, "verbosity": -1, "num_threads": 1, "seed": 1}
    booster = lightgbm.train(settings, data, num_boost_round=15)
    bundle = Bundle(
        name="risk",
        version=version,
        model_text=booster.model_to_string(),
        calibrator=Calibrator(1.1, -0.2),
        policy=Policy(
            challenge_at=0.3,
            review_at=0.5,
            decline_at=0.7,
            rules=STARTER_RULES,
            block={"payer": (BLOCKED,)},
            lower_tier_exposure_per_minute_minor=EXPOSURE_MINOR,
        ),
        contract=known.contract(),
        reasons=known.reasons,
        feature_service="payments_v1",
    )
    return write_bundle(bundle, folder)


def payment(transaction_id: str, at_ms: int = START_MS, **changes: Any) -> dict[str, Any]:
    """An ordinary payment as JSON fields; a change to None leaves the field out."""
    fields: dict[str, Any] = {
        "transaction_id": transaction_id,
        "event_time": rfc3339(at_ms),
        "amount_minor": 12_500,
        "currency": "INR",
        "rail": "upi",
        "channel": "qr_static",
        "payer_id": "u-42",
        "instrument_id": "vpa-42",
        "payee_id": "m-7",
        "device_id": "d-42",
        "ip": "203.0.113.9",
        "mcc": "5411",
        "payer_country": "IN",
        "payee_country": "IN",
        "attributes": {"basket_items": 3, "sign_in": "otp"},
        "deadline_ms": 5_000,  # a busy test machine is not what these tests measure
    } | changes
    return {name: value for name, value in fields.items() if value is not None}


def suspicious(transaction_id: str, at_ms: int = START_MS, **changes: Any) -> dict[str, Any]:
    """A payment the model of `make_bundle` finds suspicious."""
    return payment(
        transaction_id,
        at_ms,
        **{"amount_minor": 2_400_000, "channel": "online", "device_id": f"d-{transaction_id}"} | changes,
    )


def rfc3339(at_ms: int) -> str:
    """A moment (ms UTC) as the contract writes it."""
    moment = np.datetime64(at_ms, "ms")
    return f"{moment}Z"


def environment_of(var: Path, bundle: Path, more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a service over `var`, on the replay clock unless `more` says otherwise."""
    return {
        **os.environ,
        "RISKGATE_VAR": str(var),
        "RISKGATE_BUNDLE": str(bundle),
        "RISKGATE_CLOCK": "replay",
        "RISKGATE_DRAIN_MIN_SECONDS": "0",  # no balancer has to learn of the end
        "BENTOML_HOME": str(var.parent / "bentoml"),
        **more,
    }


class Way(NamedTuple):
    """How a service is started: from its port to a command, where it runs, and what its environment has besides."""

    command: Callable[[int], list[str]]
    folder: Path = ROOT
    environment: Mapping[str, str] = {}


def run_command(port: int) -> list[str]:
    return [sys.executable, "-m", "serving", "run", "--port", str(port)]


def bentoml_command(port: int, what: str = "serving.service:Riskgate", host: str = "127.0.0.1") -> list[str]:
    return [sys.executable, "-m", "bentoml", "serve", what, "--host", host, "--port", str(port)]


#: One scoring process: what `make serve` runs.
BY_ITSELF = Way(run_command)
#: The same service under BentoML's own command line and supervisor.
BY_BENTOML = Way(bentoml_command)


class Service:
    """The running service: its address, its folder, its process and all it wrote."""

    def __init__(
        self,
        var: Path,
        bundle: Path,
        port: int,
        log: Path,
        way: Way = BY_ITSELF,
        /,
        **environment: str,
    ) -> None:
        self.var, self.port, self.log = var, port, log
        self.environment = environment_of(var, bundle, environment)
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                way.command(port),
                cwd=way.folder,
                env={**self.environment, **way.environment},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)

    def wait_until_ready(self, patience_seconds: float = 90) -> None:
        deadline = time.monotonic() + patience_seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the service ended: {self.log.read_text()}")
            with contextlib.suppress(httpx.TransportError):
                if self.client.get("/readyz").status_code == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(f"the service is not ready: {self.log.read_text()}")

    def score(self, fields: dict[str, Any], query: str = "") -> httpx.Response:
        return self.client.post(f"/v1/score{query}", content=json.dumps(fields))

    def post(self, path: str, fields: Any) -> httpx.Response:
        return self.client.post(path, content=json.dumps(fields))

    def receipt(self, transaction_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/v1/receipts/{transaction_id}").json()
        return found

    def kill(self) -> None:
        self.client.close()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def stop(self) -> int:
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return command(self.environment, *arguments)


def command(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m serving ...` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "serving", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextlib.contextmanager
def running(folder: Path, bundle: Path, way: Way = BY_ITSELF, /, **environment: str) -> Iterator[Service]:
    """The service over `folder/var` until the block ends, started in one of the ways there are."""
    folder.mkdir(parents=True, exist_ok=True)
    service = Service(folder / "var", bundle, free_port(), folder / "service.log", way, **environment)
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.stop()
