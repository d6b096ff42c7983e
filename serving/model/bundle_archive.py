"""Bundles on disk: a copy of each one ever served is kept, so that `verify` can rerun old decisions."""

from __future__ import annotations

import shutil
from pathlib import Path

from features.bundle.bundle import Bundle, read_bundle
from features.errors import BrokenBundle


def folder_name(bundle_digest: str, policy_digest: str) -> str:
    """The folder of a served bundle: what answers depend on, and what decides beside it."""
    return f"{bundle_digest[:16]}-{policy_digest[:16]}"


def keep(source: Path, bundle: Bundle, kept: Path) -> Path:
    """Copy a bundle to where served bundles are kept, whole or not at all; a damaged copy is replaced.

    Raises: BrokenBundle when the source is being written to.
    """
    target = kept / folder_name(bundle.digest, bundle.policy.digest)
    if not _is(target, bundle):
        kept.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for name in ("model.txt", "policy.json", "contract.json", "bundle.json"):
            shutil.copyfile(source / name, partial / name)
        if not _is(partial, bundle):
            raise BrokenBundle(f"The bundle in {source} changed while it was read.", "Export it again, in one piece.")
        shutil.rmtree(target, ignore_errors=True)
        partial.replace(target)
    return target


def _is(folder: Path, bundle: Bundle) -> bool:
    """Whether a folder holds this bundle, undamaged."""
    try:
        there = read_bundle(folder)
    except (BrokenBundle, OSError, ValueError):
        return False
    return (there.digest, there.policy.digest) == (bundle.digest, bundle.policy.digest)


def kept_bundle(kept: Path, bundle_digest: str, policy_digest: str) -> Bundle:
    """The bundle that made a decision.

    Raises: BrokenBundle when its copy is missing or is not what its name says.
    """
    folder = kept / folder_name(bundle_digest, policy_digest)
    if not folder.is_dir():
        raise BrokenBundle(
            f"The bundle {folder.name}, with which payments were decided, is not in {kept}.",
            "Put it back from a backup: without it these decisions cannot be reproduced.",
        )
    bundle = read_bundle(folder)
    if bundle.digest != bundle_digest or bundle.policy.digest != policy_digest:
        raise BrokenBundle(f"The bundle {folder.name} is not what its name says.", "Put it back from a backup.")
    return bundle
