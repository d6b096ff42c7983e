"""The feature catalogue a payment was scored with, found by the hash in its receipt, and the deployment's currency."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec

from features.catalogue.catalogue import Catalogue, catalogue, catalogue_of
from features.domain.contract import Contract
from features.errors import InvalidDeclaration
from serving.console.pages.wording import UNKNOWN_CURRENCY
from serving.model.bundle_archive import folder_name


class _Promotion(msgspec.Struct):
    """What a `promotion` event says of the bundle that decides; digests."""

    bundle: str
    policy: str
    features: str


class Catalogues:
    """Catalogues by contract hash: the default one, and those of the bundles this installation has served."""

    def __init__(self, bundles: Path) -> None:
        self._bundles = bundles
        self.default = catalogue()
        self._known: dict[str, Catalogue] = {self.default.contract().hash: self.default}
        self._read: set[Path] = set()
        self._currencies: dict[str, str] = {}
        self._lock = threading.Lock()

    def of(self, contract_hash: str) -> Catalogue | None:
        """The catalogue with this contract, None if this code does not compute it."""
        with self._lock:
            if contract_hash not in self._known:
                self._read_new_bundles()
            return self._known.get(contract_hash)

    def reference_currency(self, promotion: bytes | None) -> str:
        """The currency in which the deployment counts money at risk, by its newest `promotion` event."""
        if promotion is None:  # nothing was decided yet
            return self.default.parameters.reference_currency
        latest = msgspec.json.decode(promotion, type=_Promotion)
        name = folder_name(latest.bundle, latest.policy)
        found = self._currencies.get(name)
        if found is None:
            try:
                contract = Contract.from_json((self._bundles / name / "contract.json").read_bytes())
                found = str(contract.parameters["reference_currency"])
            except (OSError, KeyError, msgspec.MsgspecError):
                known = self.of(latest.features)
                return UNKNOWN_CURRENCY if known is None else known.parameters.reference_currency
            self._currencies[name] = found
        return found

    def _read_new_bundles(self) -> None:
        for path in set(self._bundles.glob("*/contract.json")) - self._read:
            self._read.add(path)
            try:
                contract = Contract.from_json(path.read_bytes())
                computed = catalogue_of(contract)
            except (OSError, msgspec.MsgspecError, InvalidDeclaration):
                # Not a contract this code can build: its payments are shown without named columns.
                continue
            if computed.contract().hash == contract.hash:
                self._known[contract.hash] = computed
