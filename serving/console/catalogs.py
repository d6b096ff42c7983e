"""The feature catalogue a payment was scored with, found by the hash in its receipt."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec

from features.catalog import Catalog, catalog, catalog_of
from features.contract import Contract
from features.errors import InvalidDeclaration


class Catalogs:
    """Catalogues by contract hash: the default one, and those of the bundles this installation has served."""

    def __init__(self, bundles: Path) -> None:
        self._bundles = bundles
        self.default = catalog()
        self._known: dict[str, Catalog] = {self.default.contract().hash: self.default}
        self._read: set[Path] = set()
        self._lock = threading.Lock()

    def of(self, contract_hash: str) -> Catalog | None:
        """The catalogue with this contract, None if this code does not compute it."""
        with self._lock:
            if contract_hash not in self._known:
                self._read_new_bundles()
            return self._known.get(contract_hash)

    def _read_new_bundles(self) -> None:
        for path in set(self._bundles.glob("*/contract.json")) - self._read:
            self._read.add(path)
            try:
                contract = Contract.from_json(path.read_bytes())
                computed = catalog_of(contract)
            except (OSError, msgspec.MsgspecError, InvalidDeclaration):
                # Not a contract this code can build: its payments are shown without named columns.
                continue
            if computed.contract().hash == contract.hash:
                self._known[contract.hash] = computed
