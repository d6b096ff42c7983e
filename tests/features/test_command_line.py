"""`python -m features`: what a person reads, on a narrow terminal and when the input is wrong."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.__main__ import main
from features.catalogue.catalogue import CatalogueParameters, catalogue
from features.history.schema import history_schema


def run(arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Exit code and everything that was printed."""
    monkeypatch.setattr(sys, "argv", ["features", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out + err


def test_every_name_of_the_catalogue_is_shown_whole_at_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, text = run(["show"], capsys, monkeypatch)
    shown = {line.split()[0] for line in text.splitlines() if line.startswith("  ") and line[2] != " "}
    assert code == 0 and shown == set(catalogue().names)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80


@pytest.mark.parametrize("content", [None, b"{}", b"hello"], ids=["absent", "other JSON", "no JSON"])
def test_a_contract_that_is_none_is_refused_in_a_sentence(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "contract.json"
    if content is not None:
        path.write_bytes(content)
    code, text = run(["show", "--contract", str(path)], capsys, monkeypatch)
    assert code == 2 and "name the contract.json of a bundle" in text and "Traceback" not in text


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "There is no file"), (b"hello, world", "is not a parquet file"), ({"amount_minor": [1]}, "payee_id")],
    ids=["absent", "not parquet", "columns missing"],
)
def test_a_history_that_is_none_is_refused_in_a_sentence(
    content: bytes | dict[str, list[int]] | None,
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, target = tmp_path / "history.parquet", tmp_path / "features.history.parquet"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        pq.write_table(pa.table(content), path)
    code, text = run(["replay", str(path), str(target)], capsys, monkeypatch)
    assert code == 2 and sentence in text and "Traceback" not in text
    assert not target.exists()


def test_the_contract_of_today_shows_todays_catalogue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "contract.json"
    path.write_bytes(catalogue().contract().to_json())
    assert json.loads(path.read_bytes())["kernel"]
    code, text = run(["show", "--contract", str(path)], capsys, monkeypatch)
    assert code == 0 and catalogue().contract().hash[:8] in text


def test_a_target_that_cannot_be_written_is_named_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    pq.write_table(pa.Table.from_pylist([], schema=history_schema(CatalogueParameters())), tmp_path / "history.parquet")
    target = tmp_path / "file" / "features.parquet"
    code, text = run(["replay", str(tmp_path / "history.parquet"), str(target)], capsys, monkeypatch)
    assert code == os.EX_IOERR and f"{tmp_path / 'file'}: File exists." in text and "Traceback" not in text
