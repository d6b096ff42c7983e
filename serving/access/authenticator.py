"""Authenticates callers by API key, and checks their scopes and rates."""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from features.errors import RiskgateError
from serving.access.api_keys import SCOPES, Key, KeyFile, digest_of, id_of
from serving.access.rate_limit import RateLimiter
from serving.errors import CannotStart, Forbidden, TooManyRequests, Unauthorised
from serving.shared_bounds.bounds import Bounds

log = logging.getLogger("riskgate.access")


class Caller(NamedTuple):
    """A caller with a valid key; `until` is seconds since 1970."""

    id: str
    sha256: bytes
    scopes: frozenset[str]
    rate: int
    until: float


class Authenticator:
    """Checks keys, scopes and rates; with no key configured it accepts every caller.

    A token is looked up by the id it names, then compared in constant time. An unknown id is compared with a random
    secret, so that the response time does not reveal which ids exist.
    """

    def __init__(
        self, api_key: str = "", key_file: str = "", default_rate: int = 0, wall: Callable[[], float] = time.time
    ) -> None:
        """`api_key` opens everything; `default_rate` (requests/s, 0: no limit) is for keys that name none.

        Raises: CannotStart, InvalidKeys for a key file that cannot be used.
        """
        self._wall = wall
        self._default_rate = default_rate
        self._limiter = RateLimiter()
        self._file = KeyFile(Path(key_file)) if key_file else None
        self._stamp: tuple[int, int, int] | None = None
        self._callers: dict[bytes, Caller] = {}
        self.keyless = not api_key and self._file is None
        #: What is wrong with the key file now; the keys read before stay in force.
        self.broken: str | None = None
        all_scopes = frozenset(SCOPES)
        token = api_key.encode() or secrets.token_bytes(32)
        self._single = Caller("single", digest_of(token), all_scopes, self._default_rate, float("inf"))
        self._anyone = Caller("anybody", b"", all_scopes, self._default_rate, float("inf"))
        if self._file is not None:
            self._first_read(self._file)

    @property
    def keys(self) -> int:
        """How many keys of the file are valid."""
        return len(self._callers)

    def authenticate(self, authorization: bytes | None, scope: str) -> Caller:
        """The caller of a request that needs `scope`; counts one request against its rate.

        Raises: Unauthorised, Forbidden, TooManyRequests.
        """
        caller = self.identify(authorization, scope)
        if caller.rate:
            seconds = self._limiter.take(caller.id, caller.rate)
            if seconds:
                raise TooManyRequests("This caller sends more than its rate.", "Send less, or ask for more.", seconds)
        return caller

    def identify(self, authorization: bytes | None, scope: str) -> Caller:
        """The caller of a request that needs `scope`, without counting the request.

        Raises: Unauthorised, Forbidden.
        """
        caller = self._anyone if self.keyless else self._identify(authorization or b"")
        if scope not in caller.scopes:
            raise Forbidden(f"This key lacks the scope `{scope}`.", "Use a key that has it, or ask for one.")
        return caller

    def share_rates(self, bounds: Bounds) -> None:
        """Keep the callers' rates together with the other processes of the service."""
        self._limiter.bounds = bounds
        bounds.rates.append(self._limiter)

    def charge(self, caller: Caller, requests: int) -> None:
        """Count the request just authenticated as several."""
        if caller.rate and requests > 1:
            self._limiter.charge(caller.id, requests - 1)

    def _identify(self, authorization: bytes) -> Caller:
        scheme, token = read_credential(authorization)
        caller = self._callers.get(id_of(token), self._single)
        if not hmac.compare_digest(digest_of(token), caller.sha256) or scheme != b"bearer":
            raise Unauthorised("The key is missing or wrong.", "Send `Authorization: Bearer <key>`.")
        if self._wall() >= caller.until:
            raise Unauthorised("The key has expired.", "Ask for a new one.")
        return caller

    # -- the key file --------------------------------------------------------------------------

    def refresh(self) -> bool:
        """Read the key file again if it has changed, and return whether it was used; a broken file is ignored."""
        if self._file is None or (stamp := self._file.stamp()) == self._stamp:
            return False
        self._stamp = stamp
        try:
            keys = self._file.read()
            if stamp is None:
                raise CannotStart(f"The key file {self._file.path} is gone.", "Put it back; an empty list is `[]`.")
            self._use(keys)
        except RiskgateError as error:
            self.broken = str(error)
            log.error("the key file cannot be used, the keys read before stay in force: %s", error)
            return False
        self.broken = None
        log.info("the key file was read again: %d valid keys", len(self._callers))
        return True

    def _first_read(self, file: KeyFile) -> None:
        self._stamp = file.stamp()
        keys = file.read()  # before the check below: an unreadable folder must not be reported as a missing file
        if self._stamp is None:
            raise CannotStart(f"There is no key file {file.path}.", "Add a key: python -m serving key-add.")
        self._use(keys)

    def _use(self, keys: Mapping[str, Key]) -> None:
        now = datetime.fromtimestamp(self._wall(), UTC)
        self._callers = {
            key.id.encode(): Caller(
                key.id,
                bytes.fromhex(key.sha256),
                frozenset(SCOPES if "admin" in key.scopes else key.scopes),
                self._default_rate if key.rate is None else key.rate,
                float("inf") if key.expires is None else key.expires.timestamp(),
            )
            for key in keys.values()
            if not key.is_over(now)
        }


def read_credential(authorization: bytes) -> tuple[bytes, bytes]:
    """(scheme in lower case, token) of the value of an `authorization` header (RFC 9110 §11.4).

    >>> read_credential(b"bearer  rg_till_secret "), read_credential(b"Bearer")
    ((b'bearer', b'rg_till_secret'), (b'bearer', b''))
    """
    scheme, _, token = authorization.strip(b" \t").partition(b" ")
    return scheme.lower(), token.lstrip(b" ")


def is_local(client: tuple[str, int] | None, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a request comes from this machine and not through a proxy on it."""
    try:
        near = client is not None and ip_address(client[0]).is_loopback
    except ValueError:
        return False
    return near and not any(name in (b"forwarded", b"x-forwarded-for") for name, _ in headers)
