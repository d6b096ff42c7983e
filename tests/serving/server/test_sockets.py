"""The sockets on which a process listens are found and judged, whatever its settings say."""

from __future__ import annotations

import socket

import pytest

from serving.errors import CannotStart
from serving.server.sockets import addresses, bind, check_listening, is_loopback, listeners


def test_listening_sockets_are_found_and_no_others() -> None:
    before = set(listeners())
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as bound, socket.socket() as unix_like:
        bound.bind(("127.0.0.1", 0))  # bound, and not listening
        with socket.create_connection(server.getsockname()), unix_like:
            found = set(listeners()) - before
        assert found == {server.fileno()}
        assert addresses(found) == ["127.0.0.1"]
    assert set(listeners()) == before


def test_both_families_are_judged() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6) as server:
        (host,) = addresses([server.fileno()])
    assert not is_loopback(host)
    with pytest.raises(CannotStart, match="will not listen on :: without an API key"):
        check_listening([host], keyless=True)
    check_listening([host], keyless=False)
    check_listening(["127.0.0.1", "::1"], keyless=True)


def test_a_port_in_use_is_a_sentence() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(CannotStart, match=f"Port {port} of 127.0.0.1 cannot be used: Address already in use"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 99_999), ("no.such.host.invalid", 3000), ("", -1)])
def test_a_port_or_host_that_cannot_be_is_a_sentence(host: str, port: int) -> None:
    with pytest.raises(CannotStart, match=f"Port {port} of {host} cannot be used: "):
        bind(host, port)


def test_a_shared_port_is_shared() -> None:
    with bind("127.0.0.1", 0, shared=True) as first, bind(*first.getsockname(), shared=True) as second:
        assert first.getsockname() == second.getsockname()
