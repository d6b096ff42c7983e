"""The table of codes in docs/integrate.md is that of the source: a caller finds every code that a reply may carry."""

from __future__ import annotations

from pathlib import Path

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
