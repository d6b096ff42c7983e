"""The door, with a clock in the hand: who gets in, who does not, how often."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from serving.access.api_keys import SCOPES, InvalidKeys, KeyFile, new_key
from serving.access.authenticator import Authenticator, is_local
from serving.access.rate_limit import RateLimiter
from serving.api.openapi import SCOPES as DOCUMENTED
from serving.api.openapi import document
from serving.errors import CannotStart, Forbidden, TooManyRequests, Unauthorised
from serving.server.sockets import check_listening
from tests.serving.scoring_world import PARAMETERS

NOW = datetime(2026, 11, 11, tzinfo=UTC)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class Wall:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now.timestamp()


def door_with(
    path: Path, wall: Wall, **keys: tuple[tuple[str, ...], int | None]
) -> tuple[Authenticator, dict[str, bytes]]:
    file, headers = KeyFile(path), {}
    for name, (scopes, days) in keys.items():
        key, token = new_key(name, scopes, NOW, days=days)
        file.add(key)
        headers[name] = f"Bearer {token}".encode()
    return Authenticator(key_file=str(path), wall=wall), headers


def test_a_key_opens_what_its_scopes_name_and_admin_opens_everything(tmp_path: Path) -> None:
    authenticator, headers = door_with(tmp_path / "keys.json", Wall(), till=(("score",), None), boss=(("admin",), None))
    assert authenticator.authenticate(headers["till"], "score").id == "till"
    for scope in ("feedback", "read"):
        with pytest.raises(Forbidden, match=scope):
            authenticator.authenticate(headers["till"], scope)
    assert {authenticator.authenticate(headers["boss"], scope).id for scope in SCOPES} == {"boss"}


def test_wrong_keys_are_all_refused_alike(tmp_path: Path) -> None:
    authenticator, headers = door_with(tmp_path / "keys.json", Wall(), till=(("score",), None))
    right = headers["till"]
    for wrong in (None, b"", b"Bearer ", right[:-1], right + b"x", right.replace(b"till", b"toll"),
                  b"Basic " + right[7:], right[7:], b"Bearer rg_till_", b"Bearer rg__", b"Bearer \xff"):  # fmt: skip
        with pytest.raises(Unauthorised, match="missing or wrong"):
            authenticator.authenticate(wrong, "score")
    assert authenticator.authenticate(right.replace(b"Bearer", b"bearer"), "score").id == "till"


def test_a_key_ends_at_its_last_moment(tmp_path: Path) -> None:
    wall = Wall()
    authenticator, headers = door_with(tmp_path / "keys.json", wall, till=(("score",), 30))
    wall.now = NOW + timedelta(days=30, seconds=-1)
    authenticator.authenticate(headers["till"], "score")
    wall.now = NOW + timedelta(days=30)
    with pytest.raises(Unauthorised, match="expired"):
        authenticator.authenticate(headers["till"], "score")


def test_a_revoked_key_and_a_new_one_take_effect_when_the_file_is_read_again(tmp_path: Path) -> None:
    authenticator, headers = door_with(tmp_path / "keys.json", Wall(), old=(("score",), None))
    assert not authenticator.refresh()
    key, token = new_key("new", ("score",), NOW)
    KeyFile(tmp_path / "keys.json").add(key)
    KeyFile(tmp_path / "keys.json").revoke("old", NOW)
    assert authenticator.refresh()
    assert authenticator.authenticate(b"Bearer " + token.encode(), "score").id == "new"
    with pytest.raises(Unauthorised):
        authenticator.authenticate(headers["old"], "score")
    assert [key.id for key in KeyFile(tmp_path / "keys.json").read().values() if key.revoked] == ["old"]


@pytest.mark.parametrize(
    "damage", ["", "{", "[1]", '[{"id": "x"}]', None], ids=["empty", "cut", "no key", "half", "gone"]
)
def test_a_broken_key_file_leaves_the_former_keys_in_force_and_says_so(
    tmp_path: Path, damage: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys.json"
    authenticator, headers = door_with(path, Wall(), till=(("score",), None))
    if damage is None:
        path.unlink()
    else:
        path.write_text(damage)
    assert not authenticator.refresh()
    assert authenticator.broken
    assert "stay in force" in caplog.text
    authenticator.authenticate(headers["till"], "score")
    path.write_text("[]")
    assert authenticator.refresh()
    assert authenticator.broken is None
    with pytest.raises(Unauthorised):
        authenticator.authenticate(headers["till"], "score")


def test_the_single_key_of_the_settings_stands_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    door_with(path, Wall(), till=(("score",), None))
    authenticator = Authenticator("rg_till_but-another", str(path), wall=Wall())
    with pytest.raises(Unauthorised):  # the id belongs to the file
        authenticator.authenticate(b"Bearer rg_till_but-another", "score")
    assert Authenticator("rg_x_y").authenticate(b"Bearer rg_x_y", "admin").id == "single"
    assert Authenticator().authenticate(None, "admin").id == "anybody"


def test_each_key_has_its_own_rate_and_hears_when_to_come_back(tmp_path: Path) -> None:
    file, tokens = KeyFile(tmp_path / "keys.json"), {}
    for name, rate in (("slow", 1), ("fast", 100)):
        key, token = new_key(name, ("score",), NOW, rate=rate)
        file.add(key)
        tokens[name] = b"Bearer " + token.encode()
    authenticator = Authenticator(key_file=str(file.path), wall=Wall())
    authenticator.authenticate(tokens["slow"], "score")
    with pytest.raises(TooManyRequests) as refused:
        authenticator.authenticate(tokens["slow"], "score")
    assert refused.value.seconds == 1
    for _ in range(20):
        authenticator.authenticate(tokens["fast"], "score")


def test_a_batch_counts_as_many_requests_as_it_has_payments() -> None:
    now = [0.0]
    rate = RateLimiter(lambda: now[0])
    assert rate.take("a", 10) == 0
    rate.charge("a", 109)
    assert rate.take("a", 10) == 11
    now[0] = 10.0
    assert rate.take("a", 10) == 1
    now[0] = 10.2
    assert rate.take("a", 10) == 0


def test_a_keyless_service_listens_on_loopback_only(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="without an API key"):
        check_listening(["0.0.0.0"], Authenticator().keyless)
    check_listening(["0.0.0.0"], keyless=False)
    with pytest.raises(CannotStart, match="key-add"):
        Authenticator(key_file=str(tmp_path / "missing.json"))


@pytest.mark.parametrize(
    ("client", "headers", "near"),
    [
        (("127.0.0.1", 1), [], True),
        (("::1", 1), [], True),
        (("10.0.0.1", 1), [], False),
        (None, [], False),
        (("127.0.0.1", 1), [(b"x-forwarded-for", b"127.0.0.1")], False),
        (("127.0.0.1", 1), [(b"forwarded", b"for=127.0.0.1")], False),
    ],
)
def test_only_a_direct_caller_from_this_machine_is_near(
    client: tuple[str, int] | None, headers: list[tuple[bytes, bytes]], near: bool
) -> None:
    assert is_local(client, headers) is near


@pytest.mark.parametrize(
    ("name", "scopes", "rate"),
    [("A B", ("score",), None), ("ok", ("root",), None), ("ok", (), None), ("ok", SCOPES, 0)],
)
def test_a_key_that_makes_no_sense_is_refused(name: str, scopes: tuple[str, ...], rate: int | None) -> None:
    with pytest.raises(InvalidKeys):
        new_key(name, scopes, NOW, rate=rate)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-11-11T00:00:00"])
def test_a_moment_that_cannot_be_meant_breaks_the_file_and_not_the_service(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "keys.json"
    authenticator, headers = door_with(path, Wall(), till=(("score",), None))
    path.write_text(path.read_text().replace('"created": "2026-11-11T00:00:00Z"', f'"created": "{moment}"'))
    assert moment in path.read_text()
    assert not authenticator.refresh()
    assert "moment" in (authenticator.broken or "")
    authenticator.authenticate(headers["till"], "score")


def test_the_file_holds_no_secret_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, token = new_key("till", ("score",), NOW)
    KeyFile(path).add(key)
    assert token.split("_", 2)[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(InvalidKeys, match="already"):
        KeyFile(path).add(key)


def test_the_document_shows_the_scheme_and_the_scope_of_every_route() -> None:
    paths = document(PARAMETERS)["paths"]
    found = {
        path: next((way["key"] for way in operation["security"] if way), None)
        for path, operations in paths.items()
        for operation in operations.values()
    }
    assert found == {
        "/v1/score": ["score"], "/v1/score/batch": ["score"], "/v1/outcomes": ["feedback"], "/v1/labels": ["feedback"],
        "/v1/receipts/{transaction_id}": ["read"], "/v1/decisions/{transaction_id}": ["score"],
        "/v1/lists/{list}": ["admin"], "/metrics": ["read"], "/livez": None, "/readyz": None,
    }  # fmt: skip
    assert set(DOCUMENTED) == set(SCOPES)
