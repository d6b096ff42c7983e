from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
import yaml

from features.catalogue.catalogue import catalogue
from features.errors import InvalidDeclaration, InvalidHistory
from training.data.ingest import history, write_history
from training.data.source_map import FOLDER, Dataset, known_datasets, load


def _source(rows: int = 4) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "TRANSACTION_ID": np.arange(rows),
            "TX_DATETIME": pd.date_range("2018-04-01", periods=rows, freq="h"),
            "CUSTOMER_ID": [596] * rows,
            "TERMINAL_ID": [3156] * rows,
            "TX_AMOUNT": [57.16, 81.51, 146.0, 0.29][:rows],
            "TX_FRAUD": [0, 1, 0, 0][:rows],
        }
    )


def _written(table: pd.DataFrame, folder: Path) -> Path:
    table.to_parquet(folder / "transactions.parquet")
    return folder


def _said(**changes: object) -> dict[str, object]:
    said = yaml.safe_load((FOLDER / "handbook.yaml").read_text(encoding="utf-8"))
    for path, value in changes.items():
        *way, last = path.split("__")
        place = said
        for step in way:
            place = place[step]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return said


def _file(said: dict[str, object], folder: Path) -> Path:
    (folder / "own.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
    return folder / "own.yaml"


@pytest.mark.parametrize("name", known_datasets())
def test_every_data_set_of_the_repository_is_sound(name: str) -> None:
    assert load(name).name == name


def test_own_weights_and_words_reach_the_catalogue_and_the_history(tmp_path: Path) -> None:
    said = _said(currency_weights={"USDT": 0.00009}, rails=["ussd"], channels=["kiosk"])
    said["source"]["columns"] |= {"currency": {"constant": "USDT"}, "rail": {"constant": "ussd"}}  # type: ignore[index]
    own = load(_file(said, tmp_path))
    known = catalogue(own.catalogue_parameters())
    assert (known.weights["USDT"], known.weights["EUR"]) == ((9, 100_000), (1, 1))
    assert (known.rail_codes["ussd"], known.channel_codes["kiosk"]) == (64.0, 64.0)
    (row, *_) = history(own, _written(_source(), tmp_path)).to_pylist()
    assert (row["currency"], row["rail"]) == ("USDT", "ussd")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"currency_weights": {"USDT": "much"}}, "currency_weights.USDT: 'much' is no number above 0"),
        ({"currency_weights": {"EUR": 2}}, "currency_weights.EUR: the reference currency weighs 1"),
        ({"rails": ["upi"]}, "rails: 'upi' is built in"),
        ({"channels": ["Kiosk!"]}, "channels: 'Kiosk!' is no word"),
    ],
)
def test_own_weights_and_words_are_checked(changes: dict[str, object], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidDeclaration, match=sentence):
        load(_file(_said(**changes), tmp_path))


def test_amounts_become_exact_minor_units_and_labels_wait_for_their_delay(tmp_path: Path) -> None:
    rows = history(load("handbook"), _written(_source(), tmp_path)).to_pylist()
    assert [r["amount_minor"] for r in rows] == [5716, 8151, 14600, 29]
    assert [r["label"] for r in rows] == ["legitimate", "fraud", "legitimate", "legitimate"]
    assert all(r["label_time"] - r["event_time"] == dt.timedelta(days=7) for r in rows)
    assert rows[0]["payer_id"] == "c-596" and rows[0]["instrument_id"] == "card-596"
    assert rows[0]["event_time"] == dt.datetime(2018, 4, 1, tzinfo=dt.UTC)


def test_a_missing_column_is_named_with_its_place_and_the_repair(tmp_path: Path) -> None:
    table = _source().drop(columns=["TX_AMOUNT", "TX_FRAUD"])
    with pytest.raises(InvalidHistory) as refused:
        history(load("handbook"), _written(table, tmp_path))
    assert "no column TX_AMOUNT (columns.amount_minor)" in str(refused.value)
    assert "no column TX_FRAUD (label)" in str(refused.value), "every problem at once"
    assert "Map one of its own columns instead: CUSTOMER_ID" in refused.value.repair


def test_unsorted_rows_are_refused_unless_the_mapping_sorts(tmp_path: Path) -> None:
    folder = _written(_source().iloc[::-1], tmp_path)
    with pytest.raises(InvalidHistory, match=r"row 1 is earlier.*`sort: true`"):
        history(load("handbook"), folder)
    sorting = load(_file(_said(source__sort=True), tmp_path))
    assert history(sorting, folder)["transaction_id"].to_pylist() == ["hb-0", "hb-1", "hb-2", "hb-3"]


def test_a_transaction_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    table = _source().assign(TRANSACTION_ID=[0, 1, 1, 2])
    with pytest.raises(InvalidHistory, match="'hb-1' occurs more than once"):
        history(load("handbook"), _written(table, tmp_path))


def test_a_fraction_of_a_minor_unit_is_refused_with_its_row(tmp_path: Path) -> None:
    table = _source().assign(TX_AMOUNT=[1.0, 2.0, 3.005, 4.0])
    with pytest.raises(InvalidHistory, match=r"no whole number of minor units in 1 rows, first in row 2"):
        history(load("handbook"), _written(table, tmp_path))


def test_a_time_without_a_zone_is_refused(tmp_path: Path) -> None:
    naive = load(_file(_said(source__columns__event_time={"from": "TX_DATETIME"}), tmp_path))
    with pytest.raises(InvalidHistory, match="has no time zone: say which"):
        history(naive, _written(_source(), tmp_path))


def test_a_clear_card_number_does_not_get_in_and_is_not_repeated(tmp_path: Path) -> None:
    table = _source().assign(CUSTOMER_ID=["596", "4111 1111 1111 1111", "597", "598"])
    with pytest.raises(InvalidHistory, match="payer_id holds what looks like clear card numbers") as refused:
        history(load("handbook"), _written(table, tmp_path))
    assert "1111" not in str(refused.value)


def test_an_absent_file_says_where_to_get_the_data(tmp_path: Path) -> None:
    with pytest.raises(InvalidHistory, match="simulated-data-raw"):
        history(load("handbook"), tmp_path)


def test_a_refused_history_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidHistory):
        write_history(load("handbook"), _written(_source().iloc[::-1], tmp_path), tmp_path / "out.parquet")
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"source__columns__payee_id": None}, "columns lacks payee_id: map a source column or give a constant."),
        ({"source__columns__rail": {"constant": "cheque"}}, "'cheque' is not one of upi, wallet, card, netbanking"),
        ({"source__columns__colour": {"from": "C"}}, "colour is no field of a payment: declare it under attributes"),
        ({"source__columns__ip": {}}, "columns.ip must say either `from` or `constant`"),
        ({"source__label__source": "rumour"}, "label.source 'rumour' is unknown"),
        ({"reference_currency": "XXX"}, "reference_currency 'XXX' is unknown"),
        ({"recipes__week__model": {"trees": 900}}, "recipes.week.model.trees is 900: it must lie in 1..300"),
        ({"recipes__week__costs__margin": 7.0}, "recipes.week.costs.margin is a share"),
        ({"recipes__week__split__random": True}, "unknown field `random`"),
    ],
)
def test_a_mapping_that_contradicts_itself_is_refused(
    changes: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidDeclaration) as refused:
        load(_file(_said(**changes), tmp_path))
    assert sentence in str(refused.value)


def test_all_problems_of_a_mapping_come_at_once(tmp_path: Path) -> None:
    said = _said(source__columns__payee_id=None, reference_currency="XXX", source__label__delay_days=900)
    with pytest.raises(InvalidDeclaration) as refused:
        load(_file(said, tmp_path))
    assert len(refused.value.problems) == 3


def test_own_attributes_addresses_and_words_are_converted(tmp_path: Path) -> None:
    said = _said(
        source__columns__ip={"from": "IP", "ipv4_number": True},
        source__columns__channel={"from": "HOW", "values": {"web": "online", "shop": "pos"}},
    )
    said["attributes"] = [{"name": "age_hours", "column": {"from": "TX_DATETIME", "hours_since": "SINCE"}}]
    since = pd.Timestamp("2018-03-31 12:00")
    table = _source().assign(IP=[16909060.0, np.nan, 0.0, 4294967295.0], HOW=["web", "shop", "web", "web"], SINCE=since)
    rows = history(load(_file(said, tmp_path)), _written(table, tmp_path)).to_pylist()
    assert [r["ip"] for r in rows] == ["1.2.3.4", None, "0.0.0.0", "255.255.255.255"]
    assert [r["channel"] for r in rows] == ["online", "pos", "online", "online"]
    assert [r["attr_age_hours"] for r in rows] == [12.0, 13.0, 14.0, 15.0]


def test_a_word_that_is_not_translated_is_named(tmp_path: Path) -> None:
    said = _said(source__columns__channel={"from": "HOW", "values": {"web": "online"}})
    table = _source().assign(HOW=["web", "fax", "web", "web"])
    with pytest.raises(InvalidHistory, match="HOW holds fax, which `values:` does not translate"):
        history(load(_file(said, tmp_path)), _written(table, tmp_path))


def test_the_struct_and_its_file_say_the_same() -> None:
    assert set(_said()) <= {f.encode_name for f in msgspec.structs.fields(Dataset)}
