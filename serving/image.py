"""What BentoML writes into a bento about its environment: our pins as they are, each with its hashes.

BentoML adds the version of itself that builds to the requirements, in a line of its own and without hashes, and
installers that check hashes (`pip install --require-hashes`, `uv pip install --require-hashes`) refuse such a line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
from bentoml.images import Image


class LockedImage(Image):  # type: ignore[misc]  # BentoML brings no types
    """An image whose requirements are the text of `python.requirements_txt` in bentofile.yaml, word for word."""

    def freeze(self, bento_fs: Path, *arguments: Any, **named: Any) -> Any:
        """Write the description of the environment into a bento that is being built, and return it."""
        frozen = super().freeze(bento_fs, *arguments, **named)
        folder = bento_fs / "env" / "python"
        (folder / "requirements.txt").write_text(self.python_requirements)
        (folder / "requirements.in").unlink(missing_ok=True)  # BentoML's own line stands in it too
        return attrs.evolve(frozen, python_requirements=self.python_requirements)
