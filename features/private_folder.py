"""A folder that no other user can write to or replace: only files in such a folder may be unpickled."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from features.errors import RiskgateError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_ENTER = stat.S_IXGRP | stat.S_IXOTH


class UnsafeFolder(RiskgateError):
    """Another user could write to this folder, or put another one in its place."""

    code = "not_ours_alone"


def own_folder(parent: Path, name: str) -> Path:
    """The folder `name` in `parent`, created with mode 0700 if it is missing; the path holds no symbolic link.

    The parents are checked from the root down, so that none can be exchanged after its check: each belongs to this
    user or to root, and is not writable by others unless it is sticky (as /tmp is).

    Raises: UnsafeFolder naming what is wrong; OSError when the folder cannot be created or read.
    """
    user = os.geteuid()
    above = Path(os.path.realpath(parent))  # links are resolved once: the path that is checked is the path in use
    for one in (*reversed(above.parents), above):
        _check_parent(one, user)
    folder = above / name
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if folder.is_symlink() or not folder.is_dir():
        raise UnsafeFolder(f"{folder} is no folder.", "Remove it.")
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _check_folder(folder, opened, user)
    finally:
        os.close(opened)
    if not os.access(folder, os.W_OK):
        raise UnsafeFolder(f"{folder} cannot be written.", "Make it writable for the user of the service.")
    return folder


def _check_parent(folder: Path, user: int) -> None:
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise UnsafeFolder(f"{folder} became a link while it was checked.", "Find out which user put it there.")
    if found.st_uid not in (user, 0):
        raise UnsafeFolder(f"{folder} belongs to user {found.st_uid}.", f"Give it to user {user} or to root.")
    if found.st_mode & _OTHERS_WRITE and not found.st_mode & stat.S_ISVTX:
        raise UnsafeFolder(f"{folder} can be written by other users.", f"Run: chmod go-w {folder}")


def _check_folder(folder: Path, opened: int, user: int) -> None:
    found = os.fstat(opened)
    if found.st_uid != user:
        raise UnsafeFolder(f"{folder} belongs to user {found.st_uid}, not to user {user}.", "Remove it.")
    if found.st_mode & _OTHERS_WRITE:
        # Others may have put files there already: a change of mode would not be enough.
        raise UnsafeFolder(f"{folder} can be written by other users.", "Remove it with all that lies in it.")
    reachable = bool(found.st_mode & _OTHERS_ENTER)
    for _, folders, files, at in os.fwalk(".", dir_fd=opened):
        for name in (*folders, *files):
            with contextlib.suppress(FileNotFoundError):  # another process of ours replaced it just now
                _check_entry(folder, name, os.stat(name, dir_fd=at, follow_symlinks=False), user, reachable)


def _check_entry(folder: Path, name: str, found: os.stat_result, user: int, reachable: bool) -> None:
    plain = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
    if not plain or found.st_uid != user or (reachable and found.st_mode & _OTHERS_WRITE):
        raise UnsafeFolder(f"{name} in {folder} may come from another user.", "Remove the folder.")
