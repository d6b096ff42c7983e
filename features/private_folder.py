"""A folder that no other user can write to or replace: only what lies in such a folder may be unpickled."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from features.errors import RiskgateError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_ENTER = stat.S_IXGRP | stat.S_IXOTH


class NotOursAlone(RiskgateError):
    """Another user could write to this folder, or put another one in its place."""

    code = "not_ours_alone"


def own_folder(parent: Path, name: str) -> Path:
    """The folder `name` in `parent`, made with mode 0700 if it is missing; the path holds no symbolic link.

    The folders above it are judged from the root down, so that none of them can be exchanged after it was judged:
    each belongs to this user or to root, and others cannot write to it, or it is sticky (as /tmp is).

    Raises: NotOursAlone naming what is wrong; OSError when the folder cannot be made or read.
    """
    user = os.geteuid()
    above = Path(os.path.realpath(parent))  # a link is followed here, once: what is judged is what is used
    for one in (*reversed(above.parents), above):
        _judge_above(one, user)
    folder = above / name
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if folder.is_symlink() or not folder.is_dir():
        raise NotOursAlone(f"{folder} is no folder.", "Remove it.")
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _judge_own(folder, opened, user)
    finally:
        os.close(opened)
    if not os.access(folder, os.W_OK):
        raise NotOursAlone(f"{folder} cannot be written.", "Make it writable for the user of the service.")
    return folder


def _judge_above(folder: Path, user: int) -> None:
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise NotOursAlone(f"{folder} became a link while it was judged.", "Find out which user put it there.")
    if found.st_uid not in (user, 0):
        raise NotOursAlone(f"{folder} belongs to user {found.st_uid}.", f"Give it to user {user} or to root.")
    if found.st_mode & _OTHERS_WRITE and not found.st_mode & stat.S_ISVTX:
        raise NotOursAlone(f"{folder} can be written by other users.", f"Run: chmod go-w {folder}")


def _judge_own(folder: Path, opened: int, user: int) -> None:
    found = os.fstat(opened)
    if found.st_uid != user:
        raise NotOursAlone(f"{folder} belongs to user {found.st_uid}, not to user {user}.", "Remove it.")
    if found.st_mode & _OTHERS_WRITE:
        # What lies in it may have been put there by others: a change of mode would not be enough.
        raise NotOursAlone(f"{folder} can be written by other users.", "Remove it with all that lies in it.")
    reachable = bool(found.st_mode & _OTHERS_ENTER)
    for _, folders, files, at in os.fwalk(".", dir_fd=opened):
        for name in (*folders, *files):
            with contextlib.suppress(FileNotFoundError):  # another process of ours has just replaced it
                _judge_entry(folder, name, os.stat(name, dir_fd=at, follow_symlinks=False), user, reachable)


def _judge_entry(folder: Path, name: str, found: os.stat_result, user: int, reachable: bool) -> None:
    plain = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
    if not plain or found.st_uid != user or (reachable and found.st_mode & _OTHERS_WRITE):
        raise NotOursAlone(f"{name} in {folder} may come from another user.", "Remove the folder.")
