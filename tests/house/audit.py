"""Known vulnerabilities of every pinned dependency: `make audit` runs pip-audit over the constraints.

Advisories come from OSV, which needs the network. Where it cannot be reached nothing is checked, and that is said
plainly: an audit that could not look must not read like one that found nothing.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

SERVICE = ("api.osv.dev", 443)
CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"
#: Exit code of an audit that could not look; pip-audit itself ends with 0 (nothing known) or 1 (something is).
NOT_CHECKED = 3


def reachable(address: tuple[str, int] = SERVICE, patience_seconds: float = 10) -> bool:
    """Whether somebody answers there."""
    try:
        socket.create_connection(address, patience_seconds).close()
    except OSError:
        return False
    return True


def audit(program: str, tell: Callable[[str], object], address: tuple[str, int] = SERVICE) -> int:
    """Run pip-audit over the constraints; its exit code, or NOT_CHECKED when advisories cannot be had."""
    if not reachable(address):
        tell(
            f"NOTHING WAS CHECKED: the vulnerability service ({address[0]}) cannot be reached from here.\n"
            "Run `make audit` on a machine that reaches it, before each release and once a week.\n"
        )
        return NOT_CHECKED
    command = [program, "--requirement", str(CONSTRAINTS), "--no-deps", "--disable-pip"]
    return subprocess.run(
        [*command, "--vulnerability-service", "osv", "--progress-spinner", "off"], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(audit(sys.argv[1], sys.stderr.write))
