"""The bundle: the only artefact that passes from training to serving, a folder of readable files.

`bundle.json` (names, calibrator, reason texts, provenance, digests of the others), `model.txt` (LightGBM's
own text), `policy.json`, `contract.json`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from features.bundle.calibration import probability
from features.bundle.policy import Policy
from features.domain.contract import Contract
from features.errors import BrokenBundle

FORMAT = 1
#: The files of a bundle, the index last: it names the digests of the others.
FILES = ("model.txt", "policy.json", "contract.json", "bundle.json")


class Calibrator(msgspec.Struct, frozen=True):
    """Platt scaling of the model's raw margin (Platt 1999): strictly monotone, so it never ties two scores."""

    slope: float = 1.0
    intercept: float = 0.0

    def probability(self, margin: float) -> float:
        """The calibrated probability of fraud for a raw margin, both plain floats.

        >>> Calibrator().probability(0.0)
        0.5
        """
        return probability(margin, self.slope, self.intercept)


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """A model with everything a decision needs. `trained` is its provenance: data digest, run, code version, dates."""

    name: str
    version: str
    model_text: str
    calibrator: Calibrator
    policy: Policy
    contract: Contract
    reasons: dict[str, str]
    feature_service: str
    trained: dict[str, str] = {}

    @property
    def model_name(self) -> str:
        """The model's name in replies and receipts, e.g. `risk@12`."""
        return f"{self.name}@{self.version}"

    @property
    def digest(self) -> str:
        """SHA-256 over everything an answer depends on except the policy: model, calibrator, name, reason texts."""
        rest = msgspec.json.encode((self.calibrator, self.name, self.version, sorted(self.reasons.items())))
        return _sha256(self.model_text.encode() + rest)


class _Index(msgspec.Struct):
    format: int
    name: str
    version: str
    calibrator: Calibrator
    reasons: dict[str, str]
    feature_service: str
    trained: dict[str, str]
    digests: dict[str, str]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_bundle(bundle: Bundle, folder: Path) -> Path:
    """Write the bundle's files into `folder` (created if absent), `bundle.json` last: a partial copy is refused."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "model.txt": bundle.model_text.encode(),
        "policy.json": msgspec.json.format(bundle.policy.to_json(), indent=2),
        "contract.json": bundle.contract.to_json(),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    index = _Index(
        FORMAT, bundle.name, bundle.version, bundle.calibrator, bundle.reasons, bundle.feature_service, bundle.trained,
        {name: _sha256(data) for name, data in files.items()},
    )  # fmt: skip
    (folder / "bundle.json").write_bytes(msgspec.json.format(msgspec.json.encode(index), indent=2))
    return folder


def read_bundle(folder: Path) -> Bundle:
    """The bundle in `folder`.

    Raises: BrokenBundle naming the file that is missing or altered, and the repair.
    """
    repair = "Export it again: python -m training promote."
    try:
        index = msgspec.json.decode((folder / "bundle.json").read_bytes(), type=_Index)
        files = {name: (folder / name).read_bytes() for name in index.digests}
    except FileNotFoundError as problem:
        raise BrokenBundle(f"The bundle lacks the file {Path(problem.filename).name}.", repair) from problem
    except msgspec.DecodeError as problem:
        raise BrokenBundle(f"bundle.json cannot be read: {problem}.", repair) from problem
    if index.format != FORMAT:
        raise BrokenBundle(f"The bundle has format {index.format}, this code reads {FORMAT}.", repair)
    for name, digest in index.digests.items():
        if _sha256(files[name]) != digest:
            raise BrokenBundle(f"{name} does not match the digest in bundle.json: it was altered.", repair)
    if not {"model.txt", "policy.json", "contract.json"} <= files.keys():
        raise BrokenBundle("bundle.json does not list model.txt, policy.json and contract.json.", repair)
    try:
        policy = msgspec.json.decode(files["policy.json"], type=Policy)
        contract = Contract.from_json(files["contract.json"])
    except msgspec.DecodeError as problem:
        raise BrokenBundle(f"policy.json or contract.json cannot be read: {problem}.", repair) from problem
    return Bundle(
        name=index.name, version=index.version, model_text=files["model.txt"].decode(), calibrator=index.calibrator,
        policy=policy, contract=contract, reasons=index.reasons, feature_service=index.feature_service,
        trained=index.trained,
    )  # fmt: skip
