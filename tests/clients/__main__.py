"""`python -m tests.clients`: lints the document of a running service, generates clients from it and runs them.

openapi-spec-validator, Redocly and Spectral must find nothing. Each client is generated, type-checked in strict mode
and takes the whole loop: score, retry, batch, outcome, label, receipt, decision, lists, health. What is generated and
the Node packages lie in `var/clients`; the Python tools in an environment of their own (`make clients` makes it).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import typer

from tests.serving.scoring_world import ROOT, make_bundle, running

HERE = Path(__file__).parent
TOKEN = "a-key-for-the-clients"
#: The files of the Node clients that are copied beside what is generated.
NODE_FILES = ("package.json", "tsconfig.json", "spectral.yaml", "fetch_loop.ts", "hey_loop.ts")


class Steps:
    """Commands in one folder; the first that fails ends the run with its output."""

    def __init__(self, folder: Path, tools: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        path = f"{folder / 'node_modules' / '.bin'}:{tools}:{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "NO_COLOR": "1", "REDOCLY_TELEMETRY": "off", **environment}

    def run(self, title: str, *command: str) -> None:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        typer.echo(f"{'ok    ' if done.returncode == 0 else 'FAILED'} {title}")
        if done.returncode:
            typer.echo(done.stdout + done.stderr)
            raise typer.Exit(1)


def lint(steps: Steps) -> None:
    steps.run("openapi-spec-validator", "openapi-spec-validator", "openapi.json")
    steps.run("Redocly, no warning", "redocly", "lint", "--max-problems", "1", "--format", "stylish", "openapi.json")
    steps.run("Spectral, no warning", "spectral", "lint", "-F", "warn", "-r", "spectral.yaml", "openapi.json")


def python_client(steps: Steps) -> None:
    steps.run(
        "openapi-python-client generates", "openapi-python-client", "generate", "--path", "openapi.json",
        "--output-path", "python", "--overwrite", "--fail-on-warning",
    )  # fmt: skip
    shutil.copy(HERE / "python_loop.py", steps.folder / "python")
    steps.run("its code passes mypy --strict", "mypy", "--strict", "python/riskgate_client", "python/python_loop.py")
    steps.run("and takes the whole loop", "python", "python/python_loop.py")


def node_clients(steps: Steps) -> None:
    steps.run("openapi-typescript generates", "openapi-typescript", "openapi.json", "-o", "document.d.ts")
    steps.run("@hey-api/openapi-ts generates", "openapi-ts", "-i", "openapi.json", "-o", "hey")
    steps.run("both compile in strict mode", "tsc", "-p", "tsconfig.json")
    steps.run("openapi-fetch takes the whole loop", "node", "built/fetch_loop.js")
    steps.run("@hey-api/openapi-ts takes the whole loop", "node", "built/hey_loop.js")


def main(
    folder: Path = typer.Option(Path("var/clients"), help="where clients and Node packages are kept"),
    tools: Path = typer.Option(Path(".venv/clients/bin"), help="an environment with the Python tools"),
) -> None:
    """Lint the document, and generate, compile and run every client."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        typer.echo(f"{' and '.join(missing)} not found: install Node.js 20.19 or newer, then run this again.", err=True)
        raise typer.Exit(1)
    folder, tools = folder.resolve(), tools.resolve()
    shutil.rmtree(folder / "run", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    for name in NODE_FILES:
        shutil.copy(HERE / name, folder / name)
    for generated in ("hey", "built", "python"):
        shutil.rmtree(folder / generated, ignore_errors=True)
    bundle = folder / "bundle"
    if not bundle.exists():
        make_bundle(bundle)
    settings = {"RISKGATE_CLOCK": "system", "RISKGATE_API_KEY": TOKEN}
    with running(folder / "run", bundle, **settings) as service:
        steps = Steps(folder, tools, {"RISKGATE_URL": f"http://127.0.0.1:{service.port}", "RISKGATE_TOKEN": TOKEN})
        document = httpx.get(f"http://127.0.0.1:{service.port}/openapi.json").raise_for_status()
        (folder / "openapi.json").write_text(document.text)
        steps.run("Node packages", "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts")
        lint(steps)
        python_client(steps)
        node_clients(steps)
    typer.echo(f"All clients work; they lie in {folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder}.")


if __name__ == "__main__":
    sys.exit(typer.run(main))
