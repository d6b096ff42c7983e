"""Whether a request with a known transaction id is a retry, and what a retry with other content is told.

The identity of a payment is its transaction id, amount, currency, payer, instrument and payee (docs/design.md §3).
Clients stamp a retry anew and send the time that is left: all else may differ, and the first answer stands.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from features.domain.payment import FieldWarning
from features.domain.payment_fields import BY_NAME
from serving.decision import receipt as receipts
from serving.engine.scored import different_content

#: Bytes of the digest of a payment: eight of its identity, then eight of its content.
DIGEST_BYTES = 16
_HALF = DIGEST_BYTES // 2
#: How long the caller waits is no content of a payment. The canonical bytes are sorted, so a key stands before it.
_DEADLINE = re.compile(rb',"deadline_ms":[0-9]+')


class _Identity(msgspec.Struct):
    amount_minor: int
    currency: str
    payer_id: str
    instrument_id: str
    payee_id: str


_identity = msgspec.json.Decoder(_Identity).decode
_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, Any]).decode


def content_digest(content: bytes) -> bytes:
    """The digest of a payment's canonical bytes: BLAKE2b of its identity, then of its content but the deadline."""
    try:
        named = _encode(_identity(content))
    except msgspec.MsgspecError:  # a damaged event of the ledger is nobody's retry
        named = content
    identity = hashlib.blake2b(named, digest_size=_HALF).digest()
    return identity + hashlib.blake2b(_DEADLINE.sub(b"", content), digest_size=_HALF).digest()


def fields_that_differ(content: bytes, known: bytes | None) -> tuple[str, ...]:
    """Names of the fields but the deadline in which two payments in canonical bytes differ; none if one is not at hand.

    >>> fields_that_differ(b'{"amount_minor":1,"deadline_ms":9}', b'{"amount_minor":2,"mcc":"5411"}')
    ('amount_minor', 'mcc')
    """
    try:
        sent, recorded = (_fields(one) for one in (content, known or b""))
    except msgspec.MsgspecError:
        return ()
    return tuple(name for name in BY_NAME if name != "deadline_ms" and sent.get(name) != recorded.get(name))


def differs(
    transaction_id: str,
    content: bytes,
    digest: bytes,
    known: bytes,
    answer: bytes | None,
    known_content: bytes | None = None,
) -> bool:
    """Whether a retry (`content`, `digest`) differs from the payment with the digest `known` outside its identity.

    `answer` is what was decided and `known_content` the payment itself, as far as they are known.
    Raises: Conflict for another identity.
    """
    if digest == known:
        return False
    if digest[:_HALF] == known[:_HALF]:
        return True
    # Releases before kept one digest of the whole content.
    if known == hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest():
        return False
    fields = fields_that_differ(content, known_content)
    raise different_content(transaction_id, answer, [name for name in fields if name in _Identity.__struct_fields__])


def warned(answer: bytes, fields: Sequence[str] = ()) -> bytes:
    """An answer with the warning that the retry differs from the payment that was decided, in these fields."""
    what = f"another {' and '.join(fields)}" if fields else "other content outside its identity"
    warning = FieldWarning(
        "transaction_id",
        "content_differs",
        f"This id was decided with {what}: the first answer stands, and what was sent now was not kept.",
    )
    found = receipts.decode_answer(answer)
    return receipts.encode_answer(msgspec.structs.replace(found, warnings=(*found.warnings, warning)))
