"""The requirements that BentoML writes into a bento: our pins unchanged, each with its hashes.

BentoML adds its own version to the requirements in a line without hashes, and installers that check hashes
(`pip install --require-hashes`, `uv pip install --require-hashes`) refuse such a line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
from bentoml.images import Image


class LockedImage(Image):  # type: ignore[misc]  # bentoml has no types
    """An image whose requirements are exactly the text of `python.requirements_txt` in bentofile.yaml."""

    def freeze(self, bento_fs: Path, *arguments: Any, **named: Any) -> Any:
        """Write the description of the environment into a bento that is being built, and return it."""
        frozen = super().freeze(bento_fs, *arguments, **named)
        folder = bento_fs / "env" / "python"
        (folder / "requirements.txt").write_text(self.python_requirements)
        (folder / "requirements.in").unlink(missing_ok=True)  # it holds BentoML's line too
        return attrs.evolve(frozen, python_requirements=self.python_requirements)
