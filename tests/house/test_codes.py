"""The table of codes in docs/integrate.md is that of the source: a caller finds every code that a reply may carry."""

from __future__ import annotations

from pathlib import Path

from features.domain.card_words import CODES, WORDS
from tests.house.codes import codes_in, codes_of_source
from tests.house.documents import ROOT, rows_of, text_of

TABLE = {
    row[0]: set(row[1].split(", ")) for row in rows_of(text_of(ROOT / "docs/integrate.md"), "code", "status", "meaning")
}


def test_the_table_has_every_code_of_the_source_and_no_other() -> None:
    found = codes_of_source()
    assert found.keys() - TABLE.keys() == set(), "write these rows in docs/integrate.md"
    assert TABLE.keys() - found.keys() == set(), "no reply carries these codes"
    assert found == TABLE


def test_every_way_to_make_a_problem_is_found(tmp_path: Path) -> None:
    file = tmp_path / "one.py"
    file.write_text(
        "def read(findings, nothing, found):\n"
        "    Problem('literal', 'is wrong.', None, 'Mend it.')\n"
        "    findings.refuse('field', 'refused', 'is wrong.', 'Mend it.')\n"
        "    code, what = ('one_of_two', 'a') if nothing else ('the_other', 'b')\n"
        "    findings.warn('field', code, what, 'done')\n"
        "    word = 'by_name' if nothing else 'by_other_name'\n"
        "    findings.warn('field', word, 'what', 'done')\n"
        "    return 'a_tuple', 'is wrong.'\n"
    )
    assert set(codes_in(file)) == {
        ("literal", "422"), ("refused", "422"), ("one_of_two", "warning"), ("the_other", "warning"),
        ("by_name", "warning"), ("by_other_name", "warning"), ("a_tuple", "422"),
    }  # fmt: skip


def test_the_table_of_card_words_is_that_of_the_code() -> None:
    rows = rows_of(text_of(ROOT / "docs/integrate.md"), "field of `card`", "word", "codes")
    found = [(field.removeprefix("three_ds."), word, codes.lower().split(", ")) for field, word, codes in rows]
    assert found == [
        (field, word, list(CODES[field].get(word, ("none",)))) for field, words in WORDS.items() for word in words
    ]
