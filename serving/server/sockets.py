"""The sockets on which this process listens, and the check that a service without keys listens on loopback only.

`bentoml serve` may listen elsewhere than the settings say, so the sockets themselves are checked.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import stat
from collections.abc import Iterable

from serving.errors import CannotStart

#: Connections that wait to be accepted; the same number as BentoML's.
BACKLOG = 2_048


def bind(host: str, port: int, *, shared: bool = False, listening: bool = True) -> socket.socket:
    """A listening socket; `shared`: several processes listen on the port, the kernel spreads connections over them.

    One that is not `listening` yet gets none of them.
    Raises: CannotStart.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        one.bind((host, port))
        if listening:
            one.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        one.close()
        why = error.strerror if isinstance(error, OSError) else "no port has this number"
        raise CannotStart(
            f"Port {port} of {host} cannot be used: {why}.", "End what listens there, or choose another."
        ) from error
    return one


def listen(descriptors: Iterable[int]) -> None:
    """Listen on bound sockets from now on."""
    for one in descriptors:
        with socket.socket(fileno=os.dup(one)) as own:
            own.listen(BACKLOG)


def listeners() -> list[int]:
    """The descriptors of this process on which TCP connections arrive."""
    found = []
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError, ValueError):  # the descriptor of this listing is closed by now
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode) and _listens(int(name)):
                found.append(int(name))
    return sorted(found)


def addresses(descriptors: Iterable[int]) -> list[str]:
    """The address of each listening descriptor."""
    found = []
    for one in descriptors:
        with socket.socket(fileno=os.dup(one)) as own:
            found.append(str(own.getsockname()[0]))
    return found


def check_listening(hosts: Iterable[str], keyless: bool) -> None:
    """Refuse to listen beyond loopback without a key.

    Raises: CannotStart.
    """
    exposed = [host for host in hosts if not is_loopback(host)]
    if keyless and exposed:
        raise CannotStart(
            f"The service will not listen on {exposed[0]} without an API key.",
            "Set RISKGATE_KEYS or RISKGATE_API_KEY, or listen on 127.0.0.1.",
        )


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listens(descriptor: int) -> bool:
    with socket.socket(fileno=os.dup(descriptor)) as one:
        tcp = one.family in (socket.AF_INET, socket.AF_INET6) and one.type == socket.SOCK_STREAM
        return tcp and bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
