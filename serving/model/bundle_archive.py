"""The archive of served bundles: a copy of each is kept, so that `verify` can recompute old decisions."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from features.bundle.bundle import FILES, Bundle, read_bundle
from features.errors import BrokenBundle


def folder_name(bundle_digest: str, policy_digest: str) -> str:
    """The folder of a served bundle, named by the digests of bundle and policy."""
    return f"{bundle_digest[:16]}-{policy_digest[:16]}"


def keep(source: Path, bundle: Bundle, kept: Path) -> Path:
    """Copy a bundle into the archive, atomically; a damaged copy is replaced.

    Raises: BrokenBundle when the source changes meanwhile.
    """
    target = kept / folder_name(bundle.digest, bundle.policy.digest)
    if not _is(target, bundle):
        kept.mkdir(parents=True, exist_ok=True)
        # A folder of its own: the workers of a machine keep the same bundle at the same time.
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=kept) as folder:
            partial = Path(folder) / target.name
            partial.mkdir()
            for name in FILES:
                shutil.copyfile(source / name, partial / name)
            if not _is(partial, bundle):
                raise BrokenBundle(
                    f"The bundle in {source} changed while it was read.", "Export it again, in one piece."
                )
            _put(partial, target, bundle)
    return target


def _put(partial: Path, target: Path, bundle: Bundle) -> None:
    """Move a whole copy to its place, unless another process was faster."""
    try:
        partial.replace(target)
    except OSError:
        if not _is(target, bundle):
            shutil.rmtree(target, ignore_errors=True)
            partial.replace(target)


def _is(folder: Path, bundle: Bundle) -> bool:
    """Whether a folder holds this bundle, undamaged."""
    try:
        found = read_bundle(folder)
    except (BrokenBundle, OSError, ValueError):
        return False
    return (found.digest, found.policy.digest) == (bundle.digest, bundle.policy.digest)


def kept_bundle(kept: Path, bundle_digest: str, policy_digest: str) -> Bundle:
    """The bundle that made a decision.

    Raises: BrokenBundle when its copy is missing or does not match its name.
    """
    folder = kept / folder_name(bundle_digest, policy_digest)
    if not folder.is_dir():
        raise BrokenBundle(
            f"The bundle {folder.name}, with which payments were decided, is not in {kept}.",
            "Restore it from a backup: without it these decisions cannot be reproduced.",
        )
    bundle = read_bundle(folder)
    if bundle.digest != bundle_digest or bundle.policy.digest != policy_digest:
        raise BrokenBundle(f"The content of bundle {folder.name} does not match its name.", "Restore it from a backup.")
    return bundle
