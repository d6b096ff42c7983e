"""The demo's terminal output: decisions with reasons, commands to copy, addresses and password."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial

from rich.console import Console
from rich.table import Table

from training.demo.demo import USER, Demo, DemoAnswer
from training.settings import Settings

MOST_ROWS = 18
_ORDER = ("decline", "review", "challenge", "approve")


def show(console: Console, demo: Demo, settings: Settings) -> None:
    """Print the decisions and the next steps."""
    _decisions(console, demo)
    base, desk = f"http://127.0.0.1:{demo.port}", f"http://127.0.0.1:{demo.console_port}"
    again = json.loads(demo.example)
    again |= {"transaction_id": "try-1", "amount_minor": 4_900_000, "channel": "p2p", "device_id": "d-never-seen"}
    again |= {"rail": "upi", "instrument_id": again["payer_id"].replace("u-", "vpa-"), "payee_id": "u-stranger"}
    body = json.dumps({key: value for key, value in again.items() if key != "mcc"})
    first = next((a for a in demo.answers if a.decision != "approve"), demo.answers[-1])

    say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    say()
    say("Try it (any shell):")
    say(f"  curl -s '{base}/v1/score?dry_run=1&explain=1' -H 'content-type: application/json' -d '{body}'")
    say(f"  curl -s {base}/v1/receipts/{first.transaction_id}")
    say(f"  curl -s {base}/readyz")
    say()
    say(f"API page        {base}/docs")
    say(f"Review console  {desk}/   sign in as {USER} with password {demo.password}")
    say(f"MLflow          .venv/bin/mlflow ui --backend-store-uri {settings.tracking_uri} --port 5000")
    say(f"Prove it again  RISKGATE_VAR={settings.var / 'demo'} .venv/bin/python -m serving verify   (after stopping)")
    say(f"Ready after {demo.seconds:.0f} s.")


def _decisions(console: Console, demo: Demo) -> None:
    counts = Counter(answer.decision for answer in demo.answers)
    summary = ", ".join(f"{counts[d]} {d}" for d in reversed(_ORDER) if counts[d])
    table = Table(title=f"{len(demo.answers)} payments scored over HTTP: {summary}", title_justify="left")
    for heading in ("payment", "decision", "score", "reasons", "simulated truth"):
        table.add_column(heading, justify="right" if heading == "score" else "left")
    notable = [a for a in demo.answers if a.decision != "approve" or demo.typologies[a.transaction_id]]
    ranked = sorted(notable, key=lambda a: (_ORDER.index(a.decision), -(a.score or 0.0)))
    for answer in ranked[:MOST_ROWS]:
        table.add_row(*_row(answer, demo.typologies[answer.transaction_id]))
    console.print(table)
    if len(ranked) > MOST_ROWS:
        console.print(f"... and {len(ranked) - MOST_ROWS} more that were flagged or are fraud.")
    console.print("A simulated world: it shows that everything works together, not how well real fraud is found.")


def _row(answer: DemoAnswer, typology: str | None) -> tuple[str, ...]:
    reasons = "\n".join(reason.text for reason in answer.reasons[:2]) or "-"
    score = "-" if answer.score is None else f"{answer.score:.3f}"
    return answer.transaction_id, answer.decision, score, reasons, typology or "honest"
