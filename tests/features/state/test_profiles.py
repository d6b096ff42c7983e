from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.state.profiles import (
    InstrumentProfile,
    InvalidProfile,
    PayeeProfile,
    PayerProfile,
    ProfileFile,
    ProfileRow,
    Profiles,
    decode_profile,
    encode_profile,
)

PAYER_VERSIONS = st.lists(
    st.tuples(
        st.sampled_from(["u-1", "u-2"]),
        st.builds(
            PayerProfile,
            event_time_ms=st.integers(0, 20),
            created_time_ms=st.integers(0, 20),
            known_since_ms=st.none() | st.integers(-5, 5),
            home_country=st.none() | st.sampled_from(["IN", "CN"]),
            verification_level=st.none() | st.integers(0, 3),
        ),
    ),
    max_size=30,
)


def _both(tmp_path: Path, versions: list[tuple[str, ProfileRow]]) -> tuple[Profiles, ProfileFile]:
    profiles, file = Profiles(), ProfileFile(tmp_path / "profiles.sqlite")
    for entity_id, row in versions:
        profiles.put("payer", entity_id, row)
        file.write([(entity_id, row)])
    return profiles, file


@given(versions=PAYER_VERSIONS)
def test_memory_and_file_know_the_same_at_every_moment(
    versions: list[tuple[str, ProfileRow]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    profiles, file = _both(tmp_path_factory.mktemp("profiles"), versions)
    loaded = file.load()
    for at_ms in range(-1, 22):
        expected = [profiles.get("payer", one, at_ms) for one in ("u-1", "u-2", "u-3")]
        assert file.as_of("payer", ["u-1", "u-2", "u-3"], at_ms) == expected
        assert [loaded.get("payer", one, at_ms) for one in ("u-1", "u-2", "u-3")] == expected
    file.close()


@given(versions=PAYER_VERSIONS)
def test_no_version_is_seen_before_either_of_its_times(versions: list[tuple[str, ProfileRow]]) -> None:
    profiles = Profiles()
    for entity_id, row in versions:
        profiles.put("payer", entity_id, row)
    for at_ms in range(21):
        for one in ("u-1", "u-2"):
            visible = [r for i, r in versions if i == one and max(r.event_time_ms, r.created_time_ms) <= at_ms]
            seen = profiles.get("payer", one, at_ms)
            if seen is None:
                assert not visible
            else:
                newest = max(visible, key=lambda r: (r.event_time_ms, r.created_time_ms))
                assert (seen.event_time_ms, seen.created_time_ms) == (
                    newest.event_time_ms,
                    newest.created_time_ms,
                )


def test_an_older_version_that_arrives_late_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    newer = PayerProfile(event_time_ms=20, created_time_ms=20, home_country="CN")
    older = PayerProfile(event_time_ms=10, created_time_ms=30, home_country="IN")
    profiles, file = _both(tmp_path, [("u-1", newer), ("u-1", older)])
    assert profiles.get("payer", "u-1", 40) == newer
    assert file.as_of("payer", ["u-1"], 40) == [newer]
    file.close()


def test_writing_the_same_versions_twice_adds_nothing(tmp_path: Path) -> None:
    file = ProfileFile(tmp_path / "profiles.sqlite")
    rows: list[tuple[str, ProfileRow]] = [
        ("m-1", PayeeProfile(event_time_ms=1, created_time_ms=2, mcc="5411", size=3)),
        ("c-1", InstrumentProfile(event_time_ms=1, created_time_ms=2, kind="card", issuer_country="IN")),
    ]
    assert (file.write(rows), file.write(rows)) == (2, 0)
    file.close()


def test_new_rows_come_in_the_order_written_and_once(tmp_path: Path) -> None:
    file = ProfileFile(tmp_path / "profiles.sqlite")
    first = PayerProfile(event_time_ms=5, created_time_ms=5)
    second = PayerProfile(event_time_ms=1, created_time_ms=6)
    file.write([("u-1", first)])
    (seen,) = file.new_rows_since(0)
    file.write([("u-1", second)])
    assert seen[1:] == ("payer", "u-1", first)
    assert [row[1:] for row in file.new_rows_since(seen[0])] == [("payer", "u-1", second)]
    file.close()


def test_a_profile_survives_the_ledger() -> None:
    row = PayeeProfile(event_time_ms=1, created_time_ms=2, mcc="5411", country=None, size=0)
    assert decode_profile(encode_profile(row)) == row


def test_a_profile_of_another_entity_is_refused_with_a_repair() -> None:
    with pytest.raises(InvalidProfile, match="payer"):
        Profiles().put("payer", "u-1", PayeeProfile(event_time_ms=1, created_time_ms=2))
    with pytest.raises(InvalidProfile, match="device"):
        Profiles().put("device", "d-1", PayerProfile(event_time_ms=1, created_time_ms=2))
