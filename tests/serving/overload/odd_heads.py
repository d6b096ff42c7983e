"""Heads that are unusual or wrong, each with what RFC 9110 and 9112 ask a server to do with it."""

from __future__ import annotations

import json
from typing import NamedTuple

from tests.serving.scoring_world import START_MS, payment

KEY = "a-key-of-some-length"
GOOD = f"Authorization: Bearer {KEY}"


class Odd(NamedTuple):
    """`line` to `lines` are the head, {n} in it the length of the body; `status` says what may be answered.

    A payment is recorded exactly if the answer is 200. `behind` is sent after the body: it may be read as a request
    only by a server that lost its place.
    """

    name: str
    asks: str
    status: tuple[int, ...]
    lines: str = ""
    line: str = "POST /v1/score HTTP/1.1\r\n"
    host: str = "Host: risk\r\n"
    length: str = "Content-Length: {n}\r\n"
    key: str = GOOD + "\r\n"
    body: str = "{body}"
    hidden: bool = False

    def request(self, transaction_id: str) -> bytes:
        body = json.dumps(payment(transaction_id, START_MS), separators=(",", ":"))
        parts = self.line + self.host + self.length + self.key + self.lines + "\r\n" + self.body
        parts = parts.replace("{n}", str(len(body))).replace("{x}", f"{len(body):x}").replace("{body}", body)
        if self.hidden:
            parts += Odd("", "", ()).request(f"{transaction_id}-hidden").decode("latin-1")
        return parts.encode("latin-1")


CHUNKED = "Transfer-Encoding: chunked\r\n"
CHUNKS = "{x}\r\n{body}\r\n0\r\n\r\n"


def chunked(name: str, asks: str, status: tuple[int, ...], body: str = CHUNKS, lines: str = CHUNKED) -> Odd:
    return Odd(name, asks, status, lines, length="", body=body)


def score(name: str, asks: str, status: tuple[int, ...], line: str) -> Odd:
    return Odd(name, asks, status, line=line + "\r\n")


def lengths(name: str, asks: str, status: tuple[int, ...], length: str) -> Odd:
    return Odd(name, asks, status, length=length + "\r\n", hidden=True)


def keys(name: str, asks: str, status: tuple[int, ...], *lines: str) -> Odd:
    return Odd(name, asks, status, key="".join(line + "\r\n" for line in lines))


OK, BAD, DENIED = (200,), (400,), (401,)
ODD = [
    # -- RFC 9112 §2.2, §3: lines and the request line
    Odd("plain", "§3: taken", OK),
    Odd("empty line ahead", "§2.2: should be ignored", OK, line="\r\nPOST /v1/score HTTP/1.1\r\n"),
    Odd("blank ahead", "§3: no method begins with a blank", BAD, line=" POST /v1/score HTTP/1.1\r\n"),
    Odd("LF alone after the request line", "§2.2: may be refused", BAD, line="POST /v1/score HTTP/1.1\n"),
    Odd("CR alone in a value", "§2.2: must be refused or replaced", BAD, "X-A: b\rc\r\n"),
    Odd("CR alone between two lines", "§2.2: must be refused or replaced", BAD, host="Host: risk\rX-A: b\r\n"),
    Odd("LF alone between two lines", "§2.2: may be refused", BAD, host="Host: risk\nX-A: b\r\n"),
    Odd("CR CR LF", "§2.2: must be refused or replaced", BAD, "X-A: b\r\r\n"),
    Odd("blank before the first field", "§2.2: must be refused or dropped", BAD, host=" Host: risk\r\n"),
    score("method in small letters", "RFC 9110 §9.1: another method", (400, 501), "post /v1/score HTTP/1.1"),
    score("unknown method", "RFC 9110 §9.1: 501 or 400", (400, 501), "SCORE /v1/score HTTP/1.1"),
    score("two blanks after the method", "§3: may be taken", (200, 400), "POST  /v1/score HTTP/1.1"),
    score("tabs between the parts", "§3: may be taken", (200, 400), "POST\t/v1/score\tHTTP/1.1"),
    score("blank at the end", "§3: may be taken", (200, 400), "POST /v1/score HTTP/1.1 "),
    score("blank in the target", "§3: 400", BAD, "POST /v1/score /x HTTP/1.1"),
    score("no version", "§3: HTTP/0.9", (400, 505), "POST /v1/score"),
    score("HTTP/0.9", "RFC 9110 §15.6.6: 505", (400, 505), "POST /v1/score HTTP/0.9"),
    score("HTTP/1.0", "RFC 9110 §6.2: taken", OK, "POST /v1/score HTTP/1.0"),
    score("HTTP/1.2", "RFC 9110 §6.2: as 1.1, or 505", (200, 400, 505), "POST /v1/score HTTP/1.2"),
    score("HTTP/2.0", "RFC 9110 §15.6.6: 505", (400, 505), "POST /v1/score HTTP/2.0"),
    score("http/1.1", "§2.3: case matters", BAD, "POST /v1/score http/1.1"),
    score("absolute form", "§3.2.2: must be taken", OK, "POST http://risk/v1/score HTTP/1.1"),
    score("absolute form of another scheme", "§3.2.2: not ours", (400, 421), "POST ftp://risk/v1/score HTTP/1.1"),
    score("absolute form with a user", "RFC 9110 §4.2.4: an error", BAD, "POST http://u@risk/v1/score HTTP/1.1"),
    score("authority form", "§3.2.3: for CONNECT only", BAD, "POST risk:80 HTTP/1.1"),
    score("asterisk form", "§3.2.4: for OPTIONS only", BAD, "POST * HTTP/1.1"),
    score("CONNECT", "RFC 9110 §9.3.6: no proxy", (400, 405, 501), "CONNECT /v1/score HTTP/1.1"),
    score("fragment", "§3.2: no part of a target", BAD, "POST /v1/score#x HTTP/1.1"),
    score("byte above 127 in the target", "RFC 3986: no such character", BAD, "POST /v1/score\xe9 HTTP/1.1"),
    score("encoded letter in the target", "RFC 9110 §4.2.3: the same resource", OK, "POST /v1/%73core HTTP/1.1"),
    # -- §3.2: Host
    Odd("no Host", "§3.2: must be 400", BAD, host=""),
    Odd("two Hosts", "§3.2: must be 400", BAD, "Host: other\r\n"),
    Odd("two equal Hosts", "§3.2: must be 400", BAD, "Host: risk\r\n"),
    Odd("a Host that is no host", "§3.2: must be 400", BAD, host="Host: a b\r\n"),
    Odd("a Host with a path", "§3.2: must be 400", BAD, host="Host: risk/x\r\n"),
    Odd("a Host with a user", "§3.2: must be 400", BAD, host="Host: u@risk\r\n"),
    Odd("empty Host", "RFC 9110 §7.2: allowed", OK, host="Host:\r\n"),
    Odd("Host in capitals, IPv6 and port", "RFC 9110 §7.2: allowed", OK, host="HOST: [::1]:3000\r\n"),
    # -- §5: fields
    Odd("blank before a colon", "§5.1: must be 400", BAD, "X-A : b\r\n"),
    Odd("folded line", "§5.2: must be 400 or unfolded", BAD, "X-A: b\r\n c\r\n"),
    Odd("line without a colon", "§5: no field", BAD, "X-A\r\n"),
    Odd("field without a name", "§5: no field", BAD, ": b\r\n"),
    Odd("name in parentheses", "RFC 9110 §5.1: no token", BAD, "X(A): b\r\n"),
    Odd("NUL in a value", "RFC 9110 §5.5: refused or replaced", BAD, "X-A: b\0c\r\n"),
    Odd("DEL in a value", "RFC 9110 §5.5: may be refused", (200, 400), "X-A: b\x7fc\r\n"),
    Odd("byte above 127 in a value", "RFC 9110 §5.5: opaque", OK, "X-A: caf\xe9\r\n"),
    Odd("empty value", "RFC 9110 §5.5: allowed", OK, "X-A:\r\n"),
    Odd("64 lines", "RFC 6585 §5: within our bound", OK, "X-A: b\r\n" * 61),
    Odd("65 lines", "RFC 6585 §5: 431", (431,), "X-A: b\r\n" * 62),
    Odd("20 KB of one field", "RFC 6585 §5: 431", (431,), "X-A: " + "b" * 20_000 + "\r\n"),
    # -- §6.3: lengths; what is hidden behind the body is another request, or none
    lengths("two lengths", "§6.3: 400", BAD, "Content-Length: {n}\r\nContent-Length: 0"),
    lengths("two equal lengths", "§6.3: 400, or as one", BAD, "Content-Length: {n}\r\nContent-Length: {n}"),
    lengths("list of lengths", "§6.3: 400, or as one if equal", BAD, "Content-Length: {n}, {n}"),
    lengths("length with a plus", "RFC 9110 §8.6: digits only", BAD, "Content-Length: +{n}"),
    lengths("negative length", "RFC 9110 §8.6: digits only", BAD, "Content-Length: -{n}"),
    lengths("hexadecimal length", "RFC 9110 §8.6: digits only", BAD, "Content-Length: 0x{n}"),
    lengths("empty length", "RFC 9110 §8.6: digits only", BAD, "Content-Length:"),
    lengths("length beyond 64 bits", "RFC 9110 §8.6: must not overflow", (400, 413), "Content-Length: " + "9" * 30),
    lengths("blank before the colon of a length", "§5.1: must be 400", BAD, "Content-Length : {n}"),
    lengths("folded length", "§5.2: must be 400 or unfolded", BAD, "Content-Length:\r\n {n}"),
    Odd("blanks around a length", "§5.1: not part of it", OK, length="Content-Length:  \t{n} \t\r\n"),
    Odd("zeros before a length", "RFC 9110 §8.6: digits", OK, length="Content-Length: 000000000000{n}\r\n"),
    # -- §6.1, §7.1: codings
    chunked("chunked", "§7.1: must be taken", OK),
    chunked("CHUNKED", "§7: case does not matter", OK, lines=CHUNKED.replace("chunked", "CHUNKED")),
    Odd("length and chunked", "§6.3: may be refused", BAD, CHUNKED, body="0\r\n\r\n", hidden=True),
    Odd("chunked and length", "§6.3: may be refused", BAD, length=CHUNKED + "Content-Length: 5\r\n", body="0\r\n\r\n"),
    chunked("chunked twice", "§6.1: must not be", BAD, lines="Transfer-Encoding: chunked, chunked\r\n"),
    chunked("identity", "§6.3: last is not chunked: 400", (400, 501), lines="Transfer-Encoding: identity\r\n"),
    chunked("identity, then chunked", "§6.1: 501", (400, 501), lines="Transfer-Encoding: identity\r\n" + CHUNKED),
    chunked("gzip, chunked", "§6.1: 501", (501,), lines="Transfer-Encoding: gzip, chunked\r\n"),
    chunked("chunked, gzip", "§6.3: last is not chunked: 400", BAD, lines="Transfer-Encoding: chunked, gzip\r\n"),
    chunked("blank before the colon of a coding", "§5.1: must be 400", BAD, lines="Transfer-Encoding : chunked\r\n"),
    chunked("folded coding", "§5.2: must be 400 or unfolded", BAD, lines="Transfer-Encoding:\r\n chunked\r\n"),
    Odd("chunked in HTTP/1.0", "§6.1: faulty framing", BAD, CHUNKED, "POST /v1/score HTTP/1.0\r\n", length="",
        body=CHUNKS),
    chunked("chunk extension", "§7.1.1: must be ignored", OK, '{x};a=b;c="d"\r\n{body}\r\n0\r\n\r\n'),
    chunked("LF in a chunk extension", "§7.1.1: no such character", BAD, "{x};a\nb\r\n{body}\r\n0\r\n\r\n"),
    chunked("chunk size with 0x", "§7.1: hexadecimal digits", BAD, "0x{x}\r\n{body}\r\n0\r\n\r\n"),
    chunked("chunk size beyond 64 bits", "§7.1: must not overflow", BAD, "1" + "0" * 16 + "{x}\r\n{body}\r\n0\r\n\r\n"),
    chunked("chunks with LF alone", "§7.1: CRLF", BAD, "{x}\n{body}\n0\n\n"),
    chunked("chunk longer than it says", "§7.1: CRLF after the data", BAD, "{x}\r\n{body}!0\r\n\r\n"),
    chunked("trailer", "§7.1.2: may be dropped", OK, "{x}\r\n{body}\r\n0\r\nX-A: b\r\n\r\n"),
    Odd("key in a trailer", "RFC 9110 §6.5.1: must not count", DENIED, CHUNKED, length="", key="",
        body="{x}\r\n{body}\r\n0\r\n" + GOOD + "\r\n\r\n"),
    Odd("gzip body", "RFC 9110 §8.4: 415", (400, 415), "Content-Encoding: gzip\r\n", body="\x1f\x8b\x08\0",
        length="Content-Length: 4\r\n"),
    # -- RFC 9110 §7.6, §7.8, §10.1: the connection
    Odd("connection: close", "RFC 9112 §9.6: taken, then closed", OK, "Connection: close\r\n"),
    Odd("close in a list", "RFC 9112 §9.6: taken, then closed", OK, "Connection: keep-alive, close\r\n"),
    Odd("offer of h2c", "RFC 9110 §7.8: may be ignored", OK, "Connection: Upgrade\r\nUpgrade: h2c\r\n"),
    Odd("offer of websocket", "RFC 9110 §7.8: may be ignored", OK, "Connection: upgrade\r\nUpgrade: websocket\r\n"),
    Odd("expect: 100-continue", "RFC 9110 §10.1.1: 100, then taken", OK, "Expect: 100-continue\r\n"),
    # -- RFC 9110 §11: credentials
    keys("no key", "§15.5.2: 401", DENIED),
    keys("empty key", "§11.6.2: no credentials", DENIED, "Authorization:"),
    keys("scheme alone", "§11.4: no token", DENIED, "Authorization: Bearer"),
    keys("key without a scheme", "§11.4: no token", DENIED, f"Authorization: {KEY}"),
    keys("scheme in small letters", "§11.1: case does not matter", OK, f"authorization: bearer {KEY}"),
    keys("several blanks", "§11.4: 1*SP", OK, f"Authorization: Bearer   {KEY}"),
    keys("blanks around", "RFC 9112 §5.1: not part of the value", OK, f"Authorization: \t Bearer {KEY} \t"),
    keys("tab", "§11.4: 1*SP", DENIED, f"Authorization: Bearer\t{KEY}"),
    keys("another scheme", "§11.4", DENIED, f"Authorization: Basic {KEY}"),
    keys("byte above 127", "§11.4: no token68", DENIED, f"Authorization: Bearer {KEY}\xe9"),
    keys("a good key, then a bad one", "§5.3: may stand once", BAD, GOOD, "Authorization: Bearer bad"),
    keys("a bad key, then a good one", "§5.3: may stand once", BAD, "Authorization: Bearer bad", GOOD),
    keys("a list of keys", "§11.4: no token68", DENIED, f"{GOOD}, Bearer {KEY}"),
]  # fmt: skip
