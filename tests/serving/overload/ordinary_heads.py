"""Heads as usual clients and proxies send them; the fast path must take every one."""

from __future__ import annotations

#: By client; captured on the wire where the client was at hand, else as its source writes them (Go, envoy, HAProxy).
ORDINARY: dict[str, tuple[str, ...]] = {
    "curl": (
        "Host: 127.0.0.1:3000", "User-Agent: curl/7.88.1", "Accept: */*", "Authorization: Bearer k",
        "Content-Type: application/json", "Content-Length: 2",
    ),
    "curl --json": (
        "Host: [::1]:3000", "User-Agent: curl/7.88.1", "Content-Type: application/json", "Accept: application/json",
        "Content-Length: 2",
    ),
    "httpx": (
        "Host: risk.internal", "Accept: */*", "Accept-Encoding: gzip, deflate", "Connection: keep-alive",
        "User-Agent: python-httpx/0.28.1", "Authorization: Bearer k", "Content-Length: 2",
        "Content-Type: application/json",
    ),
    "requests": (
        "Host: 127.0.0.1:3000", "User-Agent: python-requests/2.34.2", "Accept-Encoding: gzip, deflate", "Accept: */*",
        "Connection: keep-alive", "Authorization: Bearer k", "Content-Length: 2", "Content-Type: application/json",
    ),
    "aiohttp": (
        "Host: 127.0.0.1:3000", "Authorization: Bearer k", "Accept: */*", "Accept-Encoding: gzip, deflate",
        "User-Agent: Python/3.11 aiohttp/3.14.5", "Content-Length: 2", "Content-Type: application/json",
    ),
    "Java HttpClient, HTTP/1.1": (
        "Content-Length: 2", "Host: 127.0.0.1:3000", "User-Agent: Java-http-client/17.0.15",
        "Authorization: Bearer k", "Content-Type: application/json",
    ),
    "Java OkHttp": (
        "Authorization: Bearer k", "Content-Type: application/json; charset=utf-8", "Content-Length: 2",
        "Host: risk:3000", "Connection: Keep-Alive", "Accept-Encoding: gzip", "User-Agent: okhttp/4.12.0",
    ),
    "Go net/http": (
        "Host: risk:3000", "User-Agent: Go-http-client/1.1", "Content-Length: 2", "Authorization: Bearer k",
        "Content-Type: application/json", "Accept-Encoding: gzip",
    ),
    "node fetch": (
        "host: risk:3000", "connection: keep-alive", "authorization: Bearer k", "content-type: application/json",
        "accept: */*", "accept-language: *", "sec-fetch-mode: cors", "user-agent: node",
        "accept-encoding: gzip, deflate", "content-length: 2",
    ),
    "nginx": (
        "Host: 127.0.0.1", "X-Forwarded-For: 10.0.0.1, 10.0.0.2", "X-Forwarded-Proto: https", "X-Real-IP: 10.0.0.1",
        "Content-Length: 2", "User-Agent: curl/7.88.1", "Authorization: Bearer k", "Content-Type: application/json",
        "Accept: application/json",
    ),
    "envoy": (
        "host: risk", "content-type: application/json", "content-length: 2", "authorization: Bearer k",
        "user-agent: checkout/1.0", "x-forwarded-proto: http", "x-request-id: 4b0a1f6e-8f9d-4f6a-b1a2-0f3c2f9a5d11",
        "x-envoy-expected-rq-timeout-ms: 15000", "x-envoy-attempt-count: 1",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate: rojo=00f067aa0ba902b7",
        'baggage: user="a b"', "via: 1.1 envoy",
    ),
    "HAProxy": (
        "host: risk", "content-length: 2", "content-type: application/json", "authorization: Bearer k",
        "x-forwarded-for: 10.0.0.1", "forwarded: for=10.0.0.1;proto=https",
    ),
}  # fmt: skip


def head_of(lines: tuple[str, ...]) -> bytes:
    return ("POST /v1/score HTTP/1.1\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode()
