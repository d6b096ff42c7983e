"""The users of the desk: names, roles and scrypt-hashed passwords in one small file."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from pathlib import Path

import msgspec

from features.errors import RiskgateError
from serving.private_file import replace_private

#: The roles; `serving.console.auth.permission` says what each may do.
ROLES = ("analyst", "lead", "auditor", "admin")

SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 256
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


class InvalidUser(RiskgateError):
    """A user that cannot be added, or a users file that cannot be read."""


class Cost(msgspec.Struct, frozen=True):
    """The cost parameters of scrypt: memory is 128 * n * r bytes.

    The default is one of the settings of the OWASP Password Storage Cheat Sheet (32 MiB, p = 3).
    """

    n: int = 2**15
    r: int = 8
    p: int = 3


class Password(msgspec.Struct, frozen=True):
    """A hashed password; the cost is stored with it, so that it can be raised later."""

    salt: bytes
    digest: bytes
    cost: Cost

    def accepts(self, password: str) -> bool:
        """Whether this is the password; compared in constant time."""
        return hmac.compare_digest(_scrypt(password, self.salt, self.cost), self.digest)


class User(msgspec.Struct, frozen=True):
    """A user who may sign in."""

    name: str
    role: str
    password: Password


def _scrypt(password: str, salt: bytes, cost: Cost) -> bytes:
    memory = 128 * cost.n * cost.r
    return hashlib.scrypt(password.encode(), salt=salt, n=cost.n, r=cost.r, p=cost.p, dklen=32, maxmem=2 * memory)


def hashed(password: str, cost: Cost | None = None) -> Password:
    """The hash of a password with a new salt."""
    salt, price = secrets.token_bytes(16), cost or Cost()
    return Password(salt, _scrypt(password, salt, price), price)


def new_user(name: str, password: str, role: str = "analyst", cost: Cost | None = None) -> User:
    """A new user.

    Raises: InvalidUser.
    """
    if _NAME.fullmatch(name) is None:
        raise InvalidUser(
            f"{name!r} cannot be a user name.",
            "Use up to 40 small letters, digits, dots, hyphens and underscores.",
            "name",
        )
    if role not in ROLES:
        raise InvalidUser(f"{role!r} is not a role.", f"Use one of {', '.join(ROLES)}.", "role")
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InvalidUser(
            f"The password has {len(password)} characters.",
            f"Use {SHORTEST_PASSWORD} to {LONGEST_PASSWORD}.",
            "password",
        )
    if name in password.lower():
        raise InvalidUser("The password contains the user name.", "Choose another one.", "password")
    return User(name, role, hashed(password, cost))


class Users:
    """The users in one JSON file that only its owner may read; a change replaces the whole file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Checked when a name is unknown, so that an unknown name takes as long as a known one.
        self._unknown_user = Password(secrets.token_bytes(16), secrets.token_bytes(32), Cost())

    def all(self) -> dict[str, User]:
        """Every user by name.

        Raises: InvalidUser if the file cannot be read as users.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        try:
            return {user.name: user for user in msgspec.json.decode(data, type=list[User])}
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise InvalidUser(
                f"{self._path} is not a list of users: {why}.",
                "Restore it, or remove it and add the users again with `python -m serving user-add`.",
            ) from error

    def find(self, name: str) -> User | None:
        """The user of that name, or None."""
        return self.all().get(name)

    def put(self, user: User, *, replace: bool = False) -> None:
        """Store a user; with `replace`, in place of one of the same name (a new password or role).

        Raises: InvalidUser if the name is taken and `replace` is False.
        """
        users = self.all()
        if user.name in users and not replace:
            raise InvalidUser(
                f"{user.name} is a user already.", "Use --replace to give a new password or role.", "name"
            )
        users[user.name] = user
        replace_private(self._path, sorted(users.values(), key=lambda u: u.name))

    def authenticate(self, name: str, password: str) -> User | None:
        """The user if name and password are right, else None; both take the same time."""
        user = self.find(name)
        stored = self._unknown_user if user is None else user.password
        right = stored.accepts(password[:LONGEST_PASSWORD])
        return user if right else None
