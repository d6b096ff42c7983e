"""A Redis client on a bare asyncio protocol: commands of one turn of the event loop leave together.

The client costs more than Redis. Without a task, a lock or a timer per call, and with hiredis packing and parsing,
concurrent requests share system calls (implicit pipelining). Replies come in the order of the commands. Every call
has a deadline; one periodic sweep enforces all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qs, unquote, urlsplit

import hiredis

from serving.errors import CannotStart, StateUnavailable

log = logging.getLogger("riskgate.redis")

Command = tuple[Any, ...]
ReplyError = hiredis.ReplyError

#: Interval of the sweep for calls past their deadline, while there are calls.
SWEEP_SECONDS = 0.004
#: This many commands are written without waiting for the end of the turn: Redis works while we pack the next.
MAX_BATCH = 4
#: A call that waits this long waits for Redis, not for this event loop; a usual deadline is 80 ms.
LATE_NS = 60_000_000
#: The usual round trip is the shortest within one or two of these windows: longer ones were queued.
SHORTEST_WINDOW_NS = 5_000_000_000
#: A reply this late means that Redis stalls: new calls fail immediately.
STALL_NS = 250_000_000
#: A sweep this late means that this process stalled, not Redis.
LOOP_STALL_NS = 30_000_000
#: After this long without a reply the connection is replaced.
RECONNECT_NS = 2_000_000_000
CONNECT_SECONDS = 2.0
MAX_BACKOFF_SECONDS = 1.0
_DEFAULT_PORT = 6379
_ROLE = ("ROLE",)


class Address(NamedTuple):
    """Address and credentials of a Redis."""

    host: str
    port: int
    path: str | None
    user: str
    password: str
    database: int
    tls: bool


def address_of(url: str) -> Address:
    """The address in a `redis://`, `rediss://` or `unix://` URL.

    Raises: CannotStart.
    """
    parts = urlsplit(url)
    text = parse_qs(parts.query).get("db", [""])[0] if parts.scheme == "unix" else parts.path.strip("/")
    try:
        port = parts.port or _DEFAULT_PORT
        database = int(text or 0)
    except ValueError as error:
        raise CannotStart(
            "RISKGATE_REDIS_URL cannot be read.", "Write redis://[user:password@]host[:port][/number]."
        ) from error
    return Address(
        parts.hostname or "127.0.0.1",
        port,
        parts.path if parts.scheme == "unix" else None,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        database,
        parts.scheme == "rediss",
    )


class _Call:
    __slots__ = ("deadline_ns", "future", "sent_ns")

    def __init__(self, future: asyncio.Future[Any], sent_ns: int, deadline_ns: int) -> None:
        self.future, self.sent_ns, self.deadline_ns = future, sent_ns, deadline_ns


class RedisConnection(asyncio.Protocol):
    """One connection that reconnects by itself; not thread-safe: use it in the thread of its event loop."""

    def __init__(self, address: Address, *, writes: bool = True) -> None:
        """`writes`: a replica, which takes none, is refused."""
        self.address, self._writes = address, writes
        self._loop = asyncio.get_running_loop()
        self._calls: deque[_Call] = deque()
        self._out: list[bytes] = []
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._up = False
        self._closed = False
        self._scheduled = False
        self._sweeping = self._stalled = False
        self._swept_ns = 0
        self._shortest_ns = self._shortest_before_ns = RECONNECT_NS
        self._shortest_since_ns = 0
        self._opening: asyncio.Task[None] | None = None
        #: Commands sent first on every connection (scripts to load).
        self.setup_commands: list[Command] = []
        #: What gives the last command sent on every connection, and what gets its reply before any other call.
        self.last_setup_command: Callable[[], Command] | None = None
        self.on_last_setup_reply: Callable[[Any], None] = lambda _: None

    # -- calling -------------------------------------------------------------------------------

    @property
    def works(self) -> bool:
        """Whether Redis is expected to answer the next call soon."""
        return self._up and not self._stalled

    @property
    def late(self) -> bool:
        """Whether a call has waited longer than an event loop under load takes to see its reply."""
        return bool(self._calls) and time.perf_counter_ns() - self._calls[0].sent_ns > LATE_NS

    @property
    def trip_ns(self) -> int:
        """The usual round trip, ns: the shortest recent one; 0 before the first."""
        shortest = min(self._shortest_ns, self._shortest_before_ns)
        return shortest if shortest < RECONNECT_NS else 0

    def call(self, command: Command, deadline_ns: int) -> asyncio.Future[Any]:
        """Send a command; the future gets its reply, or StateUnavailable at the deadline (monotonic ns).

        An error reply of Redis is a result of type `ReplyError`, not an exception.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self.works:
            future.set_exception(StateUnavailable("Redis does not answer.", "The service reconnects by itself."))
            return future
        self._out.append(hiredis.pack_command(command))
        self._calls.append(_Call(future, time.perf_counter_ns(), deadline_ns))
        if len(self._out) >= MAX_BATCH:
            self._write()
        elif not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)
        if not self._sweeping:
            self._sweeping = True
            self._swept_ns = time.perf_counter_ns()
            self._loop.call_later(SWEEP_SECONDS, self._sweep)
        return future

    def _flush(self) -> None:
        self._scheduled = False
        self._write()

    def _write(self) -> None:
        if self._transport is not None and self._out:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _sweep(self) -> None:
        if not self._calls:
            self._sweeping = False
            return
        now = time.perf_counter_ns()
        held_up, self._swept_ns = now - self._swept_ns > LOOP_STALL_NS, now
        if held_up:  # this process stalled: read what is in the socket before any call is failed
            self._loop.call_later(SWEEP_SECONDS, self._sweep)
            return
        self._stalled = now - self._calls[0].sent_ns > STALL_NS
        for one in self._calls:
            if one.deadline_ns <= now and not one.future.done():
                one.future.set_exception(StateUnavailable("Redis did not answer in time.", "Look at its load."))
        if now - self._calls[0].sent_ns > RECONNECT_NS and self._transport is not None:
            log.warning("Redis has not answered for %.0f s; reconnecting", RECONNECT_NS / 1e9)
            self._transport.abort()
        self._loop.call_later(SWEEP_SECONDS, self._sweep)

    # -- the connection ------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect and sign in.

        Raises: StateUnavailable.
        """
        at = self.address
        tls = ssl.create_default_context() if at.tls else None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                if at.path is not None:
                    await self._loop.create_unix_connection(lambda: self, at.path)
                else:
                    await self._loop.create_connection(lambda: self, at.host, at.port, ssl=tls)
                await self._set_up()
        except (OSError, TimeoutError, StateUnavailable) as error:
            if self._transport is not None:
                self._transport.abort()
            raise StateUnavailable(f"There is no Redis at {at.path or at.host}: {error}.", "Start it.") from error
        self._up = True

    async def _set_up(self) -> None:
        at, first = self.address, []
        if at.password:
            first.append(("AUTH", at.user, at.password) if at.user else ("AUTH", at.password))
        if at.database:
            first.append(("SELECT", str(at.database)))
        assert self._transport is not None
        last = None if self.last_setup_command is None else self.last_setup_command()
        for command in (*first, _ROLE, *self.setup_commands, *(() if last is None else (last,))):
            future: asyncio.Future[Any] = self._loop.create_future()
            self._calls.append(_Call(future, time.perf_counter_ns(), 1 << 62))
            self._transport.write(hiredis.pack_command(command))
            reply = await future
            if command is _ROLE:  # an error: the user may not ask
                if self._writes and not isinstance(reply, ReplyError) and reply[0] == b"slave":
                    raise StateUnavailable("it is a replica", "Give the address of the server that takes writes.")
            elif isinstance(reply, ReplyError):
                raise StateUnavailable(f"Redis refuses {command[0]}: {reply}", "Correct RISKGATE_REDIS_URL.")
            if command is last:
                self.on_last_setup_reply(reply)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start with an empty parser."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's class does not inherit from it
        self._reader = hiredis.Reader()

    def data_received(self, data: bytes) -> None:
        """Hand each reply to its call."""
        reader, calls, self._stalled = self._reader, self._calls, False
        reader.feed(data)
        self._measure()
        while (reply := reader.gets()) is not False:
            one = calls.popleft()
            if not one.future.done():
                one.future.set_result(reply)

    def _measure(self) -> None:
        now = time.perf_counter_ns()
        if now - self._shortest_since_ns > SHORTEST_WINDOW_NS:
            self._shortest_since_ns = now
            self._shortest_before_ns, self._shortest_ns = self._shortest_ns, RECONNECT_NS
        if self._calls:
            self._shortest_ns = min(self._shortest_ns, now - self._calls[0].sent_ns)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail every waiting call and reconnect."""
        was_up, self._up, self._transport, self._stalled = self._up, False, None, False
        self._out.clear()
        error = StateUnavailable("The connection to Redis was lost.", "The service reconnects by itself.")
        calls, self._calls = self._calls, deque()
        for one in calls:
            if not one.future.done():
                one.future.set_exception(error)
        if was_up and not self._closed:
            log.warning("the connection to Redis was lost: %s", exc or "closed by the server")
            self._opening = self._loop.create_task(self._open_again())

    async def _open_again(self) -> None:
        pause = 0.02
        while not self._closed:
            with contextlib.suppress(StateUnavailable):
                await self.open()
                log.warning("reconnected to Redis")
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_BACKOFF_SECONDS)

    def reconnect(self, why: str) -> None:
        """Leave this server and connect again: its name may belong to another one by now."""
        if self._transport is not None and self._up:
            log.warning("leaving Redis at %s: %s", self.address.path or self.address.host, why)
            self._transport.abort()

    def close(self) -> None:
        """Close the connection without reconnecting."""
        self._closed, self._up = True, False
        if self._opening is not None:
            self._opening.cancel()
        if self._transport is not None:
            self._flush()
            self._transport.close()
