"""Where the service looks for the champion, and who lays bundles there."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from features.bundle.bundle import FILES, read_bundle, write_bundle


class Served:
    """A folder with one bundle at a time; each version decides a little differently."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self.own, self.bundle = folder, bundle
        self.folder = folder / "served"
        self.version = 0
        self.put(1)

    def put(self, version: int) -> None:
        """Lay a bundle of that version there, file by file as a copy does."""
        good = read_bundle(self.bundle)
        policy = msgspec.structs.replace(good.policy, challenge_at=0.3 + version / 1_000)
        source = self.own / f"bundle-{version}"
        write_bundle(msgspec.structs.replace(good, version=str(version), policy=policy), source)
        self.folder.mkdir(exist_ok=True)
        for name in sorted(FILES, reverse=True):
            shutil.copyfile(source / name, self.folder / name)
        self.version = version

    def next(self) -> None:
        """Lay the next version there."""
        self.put(self.version + 1)

    def spoil(self) -> None:
        """Let the model file be half of itself."""
        text = (self.folder / "model.txt").read_bytes()
        (self.folder / "model.txt").write_bytes(text[: len(text) // 2])
