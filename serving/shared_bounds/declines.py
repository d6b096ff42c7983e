"""The batches in which processes tell each other the declines that their breakers count."""

from __future__ import annotations

import msgspec

from serving.decision.breaker import Counted


class _Batch(msgspec.Struct, array_like=True):
    payments: int
    declines: list[tuple[str, tuple[int | None, ...]]]


_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(_Batch).decode


def encode_counted(counted: Counted) -> bytes:
    """A batch as bytes."""
    return _encode(_Batch(counted.payments, counted.declines))


def decode_counted(body: bytes) -> Counted:
    """The batch that `encode_counted` wrote; an empty one for bytes of another release.

    >>> decode_counted(encode_counted(Counted(7, [("model", (1, None))])))
    Counted(payments=7, declines=[('model', (1, None))])
    """
    try:
        batch = _decode(body)
    except msgspec.MsgspecError:
        return Counted(0, [])
    return Counted(batch.payments, batch.declines)
