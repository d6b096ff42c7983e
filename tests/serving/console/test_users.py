from __future__ import annotations

import stat
from pathlib import Path

import pytest

from serving.console.auth.users import Cost, InvalidUser, Users, hashed, new_user

CHEAP = Cost(n=2**4, r=8, p=1)
SECRET = "a long enough secret"


def test_a_user_signs_in_with_the_right_password_only(tmp_path: Path) -> None:
    users = Users(tmp_path / "users.json")
    users.put(new_user("asha", SECRET, cost=CHEAP))
    signed_in = users.authenticate("asha", SECRET)
    assert signed_in is not None
    assert signed_in.role == "analyst"
    assert users.authenticate("asha", SECRET + " ") is None
    assert users.authenticate("nobody", SECRET) is None


def test_the_file_holds_no_password_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    Users(path).put(new_user("asha", SECRET, cost=CHEAP))
    assert SECRET not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_users_with_one_password_have_different_digests() -> None:
    assert hashed(SECRET, CHEAP).digest != hashed(SECRET, CHEAP).digest


def test_the_default_cost_is_the_one_that_owasp_asks_for() -> None:
    assert Cost() == Cost(n=2**15, r=8, p=3)


def test_a_name_is_not_taken_over_unless_that_is_asked_for(tmp_path: Path) -> None:
    users = Users(tmp_path / "users.json")
    users.put(new_user("asha", SECRET, cost=CHEAP))
    with pytest.raises(InvalidUser, match="a user already"):
        users.put(new_user("asha", "another long secret", cost=CHEAP))
    users.put(new_user("asha", "another long secret", "lead", CHEAP), replace=True)
    assert users.authenticate("asha", SECRET) is None
    assert users.find("asha") is not None


@pytest.mark.parametrize(
    ("name", "password", "role", "sentence"),
    [
        ("Asha!", SECRET, "analyst", "cannot be a user name"),
        ("asha", "short", "analyst", "5 characters"),
        ("asha", SECRET, "king", "not a role"),
        ("asha", "asha-asha-asha", "analyst", "contains the user name"),
    ],
)
def test_a_user_that_cannot_be_is_refused_with_a_sentence(name: str, password: str, role: str, sentence: str) -> None:
    with pytest.raises(InvalidUser, match=sentence) as refused:
        new_user(name, password, role, CHEAP)
    assert refused.value.repair


def test_a_damaged_file_of_users_lets_nobody_in_and_says_how_to_repair_it(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    path.write_text("{")
    with pytest.raises(InvalidUser, match="user-add"):
        Users(path).authenticate("asha", SECRET)
