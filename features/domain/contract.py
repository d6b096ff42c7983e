"""The feature contract: the features a model was trained on, as data with a hash, and the differences of two."""

from __future__ import annotations

import hashlib

import msgspec

#: Version of the meaning of the features' values: a part of every contract.
KERNEL_VERSION = 1


class Contract(msgspec.Struct, frozen=True):
    """Kernel version, parameters and the ordered columns with their declarations."""

    kernel: int
    parameters: dict[str, object]
    columns: tuple[tuple[str, str], ...]  # (name, declaration), in the order of the model's columns

    def to_json(self) -> bytes:
        """Canonical bytes: equal contracts give equal bytes."""
        return msgspec.json.encode(self, order="deterministic")

    @staticmethod
    def from_json(data: bytes) -> Contract:
        """The contract that `to_json` wrote."""
        return msgspec.json.decode(data, type=Contract)

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical bytes, in hex."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def differences(self, other: Contract) -> list[str]:
        """How `other` differs from this contract, one sentence each; empty if they are equal."""
        found = []
        if self.kernel != other.kernel:
            found.append(f"kernel version {self.kernel} became {other.kernel}")
        for key in sorted(self.parameters.keys() | other.parameters.keys()):
            if self.parameters.get(key) != other.parameters.get(key):
                found.append(f"parameter `{key}` changed")
        mine, theirs = dict(self.columns), dict(other.columns)
        found += [f"removed `{name}`" for name in mine if name not in theirs]
        found += [f"added `{name}`" for name in theirs if name not in mine]
        found += [f"changed `{name}`" for name in mine if name in theirs and mine[name] != theirs[name]]
        if not found and self.columns != other.columns:
            found.append("the order of the columns changed")
        return found
