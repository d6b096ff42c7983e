"""Processes of other users: each case is planted by one, then meets a process of ours that runs compiled code.

Run by `test_compiled_cache.py` as root, because only root can become two users. The interpreter may lie where these
users cannot read, so all libraries are loaded before the change of user, by our own package, which each fork then
forgets for the one it is to use.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

VICTIM, ATTACKER = 65_534, 65_533


def as_user(user: int, work: Callable[[], None]) -> int:
    """Do this in a fork that belongs to `user`; its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


class Evil:
    """What a planted file does when it is unpickled."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.makedirs, (self.mark, 0o777, True)


def use(case: dict[str, str]) -> None:
    """Start as the service does: import, run compiled code, say where its cache is."""
    os.chdir(case["var"] if case["var"] else "/")
    os.environ["RISKGATE_VAR"] = case["var"]
    os.environ["HOME"] = "/nowhere"
    tempfile.tempdir = case["tmp"]
    for name in [one for one in sys.modules if one.split(".")[0] == "features"]:
        del sys.modules[name]
    numba.config.CACHE_DIR = ""
    logged: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    found = compile_from(case["package"]) | {"logged": logged}
    Path(case["found"]).write_text(json.dumps(found))


def compile_from(package: str) -> dict[str, Any]:
    """Run compiled code of the package in this folder; where its cache is, and how often it was used."""
    sys.path.insert(0, package)
    from features.kernel import heap

    heap.allocate(np.zeros(1_000, np.int64), 3)
    stats: Any = heap.allocate.stats
    return {"kept": stats.cache_path or "", "hits": sum(stats.cache_hits.values())}


def plant(case: dict[str, Any]) -> None:
    """As the other user: a folder, or a link to one, that holds planted files under the names Numba looks for."""
    os.umask(0)
    for there in case["planted"]:
        folder = Path(there)
        if case["link"]:
            folder.symlink_to(case["link"])
            folder = Path(case["link"])
        (folder / case["inner"]).mkdir(parents=True, exist_ok=True)
        for name in case["names"]:
            (folder / case["inner"] / name).write_bytes(pickle.dumps(Evil(case["mark"])))


def main() -> None:
    """Read a list of cases, do each, exit with the number of parts that failed."""
    compile_from(str(Path(__file__).parents[2]))
    numba.njit(lambda a: a + 1)(1)  # the whole compiler is loaded too
    failed = 0
    for case in json.loads(sys.stdin.read()):
        if case["planted"]:
            failed += as_user(ATTACKER, lambda case=case: plant(case)) != 0  # type: ignore[misc]
        failed += as_user(VICTIM, lambda case=case: use(case)) != 0  # type: ignore[misc]
    sys.exit(failed)


if __name__ == "__main__":
    main()
