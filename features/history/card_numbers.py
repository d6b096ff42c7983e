"""Card numbers in a history: replaced by tokens, or refused without a key; and the key of the tokens it holds.

A parquet file remembers with which key its card numbers were replaced: two histories with tokens of two keys would
show the same card as two.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from features.errors import InvalidHistory
from features.history.schema import dictionary_of
from features.intake.card_numbers import holds_card_number
from features.intake.tokens import PREFIX, Tokens, is_token

#: The entry of a parquet file's metadata: `none`, or version and fingerprint of the key.
_ENTRY = b"riskgate.card_number_tokens"
_NONE = b"none"
#: Candidates (RE2): as many digits as the shortest card number with no letter between them, or an escape.
_CANDIDATE = r"\pN(?:[^\pL\pN]*\pN){13}|%[0-9A-Fa-f]{2}|[%\\]u"


def tokenised(history: pa.Table, tokens: Tokens | None, where: str) -> pa.Table:
    """A history with tokens in place of card numbers in every text; the same table if it holds none.

    `where` names the file in an error.
    Raises: InvalidHistory for card numbers without a key; no number is repeated.
    """
    for place, field in enumerate(history.schema):
        if not pa.types.is_string(field.type):
            continue
        coded = dictionary_of(history[field.name])
        found = pc.fill_null(pc.match_substring_regex(coded.dictionary, _CANDIDATE), False)
        if not any(holds_card_number(text) for text in coded.dictionary.filter(found).to_pylist()):
            continue
        if tokens is None:
            raise InvalidHistory(
                f"{where}: {field.name} holds what looks like clear card numbers, and there is no key to replace them.",
                "Set RISKGATE_HASH_KEY to the key of the service, or RISKGATE_VAR to its folder with the file "
                "token-key-1; or replace them with tokens of your own.",
            )
        words = [None if text is None else tokens.replace(text)[0] for text in coded.dictionary.to_pylist()]
        values = pa.DictionaryArray.from_arrays(coded.indices, pa.array(words, pa.string())).cast(pa.string())
        history = history.set_column(place, field, values)
    return history


def marked(history: pa.Table, tokens: Tokens | None) -> pa.Table:
    """The history with the key of its tokens in the metadata; it holds no clear card number any more."""
    mark = _NONE if tokens is None or not _holds_tokens(history) else _mark(tokens)
    return history.replace_schema_metadata({**(history.schema.metadata or {}), _ENTRY: mark})


def _mark(tokens: Tokens) -> bytes:
    return f"{tokens.version}:{tokens.fingerprint}".encode()


def is_marked(history: pa.Table, tokens: Tokens | None, where: str) -> bool:
    """Whether the metadata of a file says that it holds no clear card number.

    Without a key nothing here makes tokens, and those of the file are names like any other.
    Raises: InvalidHistory for tokens of another key than `tokens`; `where` names the file.
    """
    mark = (history.schema.metadata or {}).get(_ENTRY)
    if mark is not None and tokens is not None and mark not in (_NONE, _mark(tokens)):
        raise InvalidHistory(
            f"{where} holds card-number tokens of the key {mark.decode(errors='replace')}, and the key here is "
            f"{_mark(tokens).decode()} (version and fingerprint): the same card has two tokens.",
            "Set RISKGATE_HASH_KEY and RISKGATE_TOKEN_KEY_VERSION to those of the service that exported it.",
        )
    return mark is not None


def _holds_tokens(history: pa.Table) -> bool:
    for field in history.schema:
        if pa.types.is_string(field.type):
            words = dictionary_of(history[field.name]).dictionary
            if pc.any(pc.starts_with(words, PREFIX)).as_py() and any(
                is_token(text) for text in words.filter(pc.starts_with(words, PREFIX)).to_pylist()
            ):
                return True
    return False
