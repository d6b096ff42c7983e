"""Lists of a running service, on both profiles: over HTTP, from the command line, after a kill, and verified."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from features.intake.card_numbers import holds_card_number
from tests.serving.profiles import ProductionService, Profile, both_profiles, figures
from tests.serving.scoring_world import BLOCKED, START_MS, Service, payment

pytestmark = both_profiles
SECRET = "a hash key of thirty-two characters"


def entries(*listed: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {"entries": [{"kind": kind, "value": value, "reason": "seen", **more} for kind, value in listed]}


def workers(service: Service) -> list[str]:
    """The address of each worker."""
    ports = service.own_ports if isinstance(service, ProductionService) else [service.port]
    return [f"http://127.0.0.1:{port}" for port in ports]


def rules(service: Service, name: str, at: str = "", **changes: Any) -> list[str]:
    """The lists that name a payment, according to any worker, or to the one at that address."""
    answer = httpx.post(f"{at or workers(service)[0]}/v1/score", json=payment(name, **changes), timeout=30)
    found: list[str] = answer.json()["rules"]
    return [one for one in found if "_list_" in one]


def in_force(service: Service, name: str, wanted: list[str], seconds: float = 2.0, **changes: Any) -> None:
    """Every worker decides so within two seconds."""
    until = time.monotonic() + seconds
    for place, address in enumerate(workers(service)):
        attempt = 0
        while rules(service, f"{name}-{place}-{attempt}", address, **changes) != wanted:
            assert time.monotonic() < until, f"worker {place} does not say {wanted}"
            attempt += 1
            time.sleep(0.05)


def test_an_entry_is_in_force_in_every_worker_within_two_seconds_and_verify_knows_what_held_when(
    service: Service, profile: Profile
) -> None:
    assert rules(service, "e-0", payee_id="m-mule") == []
    added = service.post("/v1/lists/block", entries(("payee", " m-mule "), ("ip", "198.51.100.7/24")))
    assert (added.status_code, added.json()) == (
        200,
        {
            "list": "block",
            "entries": [
                {"kind": "payee", "value": "m-mule", "status": "added"},
                {"kind": "ip", "value": "198.51.100.0/24", "status": "added"},
            ],
        },
    )
    in_force(service, "e-1", ["block_list_payee"], payee_id="m-mule")
    in_force(service, "e-2", ["block_list_ip"], ip="198.51.100.200")
    assert rules(service, "e-3", ip="198.51.101.200") == []
    answer = service.score(payment("e-4", payee_id="m-mule")).json()
    assert (answer["decision"], answer["reasons"][0]["code"]) == ("decline", "BLOCK_LIST")

    # From the command line, in another process, in any spelling.
    for arguments in (
        ("add", "country", "uk", "--list", "watch", "--reason", "new corridor", "--author", "ann"),
        ("add", "mcc", "742", "--list", "watch", "--reason", "vets"),
        ("remove", "payee", "m-mule", "--reason", "cleared"),
    ):
        done = service.command("list", *arguments)
        assert done.returncode == 0, done.stderr
    in_force(service, "e-5", ["watch_list_country"], payee_country="GB")
    in_force(service, "e-6", ["watch_list_mcc"], mcc="0742")
    in_force(service, "e-7", [], payee_id="m-mule")
    watched = service.score(payment("e-8", payee_country="GB")).json()
    assert (watched["decision"], watched["reasons"][0]["code"]) == ("review", "WATCH_LIST")
    shown = service.client.get("/v1/lists/watch").json()
    assert [(one["value"], one["author"]) for one in shown["entries"]][:1] == [("GB", "ann")]
    assert (shown["next"], shown["total"]) == (None, 2)

    # A dry run and a batch use the same lists.
    tried = service.score(payment("e-9", ip="198.51.100.9"), "?dry_run=1").json()
    batch = service.post("/v1/score/batch", {"payments": [payment("e-10", ip="198.51.100.9")]}).json()
    assert [tried["decision"], batch["decisions"][0]["decision"]] == ["decline", "decline"]
    profile.settle(service)
    assert figures(service)["mismatches"] == 0


def test_an_entry_ends_at_the_moment_of_the_payment(service: Service) -> None:
    ends = START_MS + 60_000
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ends // 1000)) + f".{ends % 1000:03d}Z"
    sent = service.post("/v1/lists/block", entries(("device", "d-ends"), expires_at=moment))
    assert sent.status_code == 200, sent.text
    in_force(service, "x-1", ["block_list_device"], device_id="d-ends", at_ms=ends - 1)
    assert rules(service, "x-2", device_id="d-ends", at_ms=ends) == []
    past = service.post("/v1/lists/block", entries(("device", "d-past"), expires_at="2001-01-01"))
    assert past.json()["error"]["field"] == "entries[0].expires_at"


def test_the_lists_of_the_bundle_are_taken_over_once_and_can_be_changed(service: Service) -> None:
    assert rules(service, "t-1", payer_id=BLOCKED) == ["block_list_payer"]
    of_bundle = list(service.client.get("/v1/lists/block?kind=payer").json()["entries"])
    assert [(one["value"], one["author"]) for one in of_bundle] == [(BLOCKED, "bundle")]
    allowed = service.post("/v1/lists/allow", entries(("payer", BLOCKED), ("payer", "u-fine")))
    assert allowed.status_code == 200
    in_force(service, "t-2", ["allow_list_payer"], payer_id="u-fine")
    in_force(service, "t-3", ["block_list_payer"], payer_id=BLOCKED)  # block wins
    removed = service.client.request(
        "DELETE", "/v1/lists/block", json={"entries": [{"kind": "payer", "value": BLOCKED}]}
    )
    assert removed.json()["entries"][0]["status"] == "removed"
    in_force(service, "t-4", ["allow_list_payer"], payer_id=BLOCKED)


def test_bad_requests_get_a_sentence_each_and_change_nothing(service: Service) -> None:
    before = service.client.get("/v1/lists/block").json()["total"]
    bad = {
        "entries": [
            {"kind": "payer", "value": "u-good", "reason": "seen"},
            {"kind": "planet", "value": "x", "reason": "seen"},
            {"kind": "ip", "value": "300.1.2.3", "reason": "seen"},
            {"kind": "payer", "value": "u-1"},
            {"kind": "payer", "value": "00000000-0000-0000-0000-000000000000", "reason": "seen"},
        ]
    }
    refused = service.post("/v1/lists/block", bad)
    assert refused.status_code == 422
    assert [(one["field"], one["code"]) for one in refused.json()["error"]["problems"]] == [
        ("entries[1].kind", "unknown_kind"),
        ("entries[2].value", "invalid_ip"),
        ("entries[3].reason", "missing"),
        ("entries[4].value", "not_sent"),
    ]
    assert service.post("/v1/lists/grey", entries(("payer", "u-1"))).status_code == 404
    assert service.client.put("/v1/lists/block").status_code == 405
    for query in ("?limit=0", "?after=x", "?kind=planet", "?colour=red", "?limit=1&limit=2"):
        assert service.client.get(f"/v1/lists/block{query}").status_code == 422, query
    assert service.client.get("/v1/lists/block").json()["total"] == before


def test_a_card_number_becomes_the_token_that_payments_carry(service: Service) -> None:
    sent = service.post("/v1/lists/block", entries(("instrument", "4111 1111-1111 1111"))).json()
    assert sent["entries"][0]["value"].startswith("pan_")
    in_force(service, "c-1", ["block_list_instrument"], instrument_id="4111111111111111")


def test_no_text_of_a_change_is_kept_or_shown_with_a_card_number(
    service: Service, profile: Profile, tmp_path: Path
) -> None:
    card = "4111 1111 1111 1111"
    file = tmp_path / f"{card}.csv"
    file.write_text(f"kind,value,reason,expires_at\npayee,m-{card},{card},\npayee,{card},{card},soon\n")
    commands: list[tuple[int, tuple[str, ...]]] = [
        (0, ("add", "payee", "m-card", "--list", "watch", "--reason", card, "--author", card)),
        (0, ("remove", "payee", "m-card", "--list", "watch", "--reason", card, "--author", card)),
        (2, ("remove", "payee", card, "--list", "watch", "--author", card)),
        (2, ("add", "payee", "m-card", "--list", card, "--reason", "r")),
        (1, ("import", str(file), "--list", "watch", "--author", card)),
        (2, ("import", str(file) + ".absent", "--list", "watch")),
        (0, ("show", "--list", "watch", "--author", card)),
    ]
    for code, arguments in commands:
        done = service.command("list", *arguments)
        assert done.returncode == code, (arguments, done.stderr)
        assert not holds_card_number(done.stdout + done.stderr), arguments
    assert "pan_" in done.stdout  # entries are found by the author as it was written
    in_http = service.client.get("/v1/lists/watch?kind=payee").text
    assert "pan_" in in_http and not holds_card_number(in_http)
    profile.settle(service)
    files = b" ".join(one.read_bytes() for one in service.var.rglob("*") if one.is_file())
    held = b" ".join(content for _, content in profile.held(service))
    assert card.encode() not in files + held


def test_entries_say_whether_they_have_expired(service: Service) -> None:
    ends = START_MS + 120_000
    for place, address in enumerate(workers(service)):
        rules(service, f"o-1-{place}", address, at_ms=START_MS)  # the clock of a worker follows its payments
    listed = entries(("device", "d-over"), expires_at=datetime.fromtimestamp(ends / 1000, UTC).isoformat())
    assert service.post("/v1/lists/watch", listed).status_code == 200
    assert service.post("/v1/lists/watch", entries(("device", "d-stays"))).status_code == 200
    page = "/v1/lists/watch?kind=device"
    assert [one["expired"] for one in service.client.get(page).json()["entries"]] == [False, False]
    for place, address in enumerate(workers(service)):
        rules(service, f"o-2-{place}", address, at_ms=ends)
    shown = service.client.get(page).json()["entries"]
    assert [(one["value"], one["expired"]) for one in shown] == [("d-over", True), ("d-stays", False)]
    lines = service.command("list", "show", "--kind", "device", "--list", "watch", "--json").stdout.splitlines()
    found = [msgspec.json.decode(line) for line in lines]
    assert [one.pop("list") for one in found] == ["watch", "watch"]
    assert [one | {"expired": None} for one in found] == [one | {"expired": None} for one in shown]


def test_each_change_is_one_line_in_the_log_without_its_values(service: Service) -> None:
    before = service.log.read_text()
    assert service.post("/v1/lists/watch", entries(("payee", "m-log-1"), ("payee", "m-log-2"))).status_code == 200
    done = service.command("list", "add", "device", "m-log-3", "--list", "allow", "--reason", "r", "--author", "ann")
    assert done.returncode == 0
    for wanted in ("watch list: 2 entries added by ", "allow list: 1 entry added by ann"):
        until = time.monotonic() + 5
        while service.log.read_text().removeprefix(before).count(wanted) < len(workers(service)):
            assert time.monotonic() < until, wanted
            time.sleep(0.05)
    assert "m-log" not in service.log.read_text()


def test_pages_give_every_entry_once(service: Service) -> None:
    names = [f"p-{number}" for number in range(25)]
    for first in range(0, 25, 5):
        service.post("/v1/lists/allow", entries(*[("payee", name) for name in names[first : first + 5]]))
    found, query = [], "?limit=7&kind=payee"
    while True:
        page = service.client.get(f"/v1/lists/allow{query}").json()
        found += [one["value"] for one in page["entries"]]
        if page["next"] is None:
            break
        query = f"?limit=7&kind=payee&after={page['next']}"
    assert found == names


def test_a_killed_service_starts_with_its_lists_and_a_change_made_meanwhile(
    profile: Profile, bundle: Path, tmp_path: Path
) -> None:
    with profile.running(tmp_path, bundle) as service:
        assert service.post("/v1/lists/block", entries(("instrument", "vpa-1"))).status_code == 200
        assert rules(service, "k-1", instrument_id="vpa-1") == ["block_list_instrument"]
        service.kill()
    assert service.command("list", "add", "device", "d-1", "--reason", "while it was away").returncode == 0
    with profile.running(tmp_path, bundle) as service:
        assert rules(service, "k-2", instrument_id="vpa-1") == ["block_list_instrument"]
        assert rules(service, "k-3", device_id="d-1") == ["block_list_device"]
        assert service.client.get("/v1/lists/block?kind=payer").json()["total"] == 3  # the bundle's own came once
        profile.settle(service)
        assert figures(service)["mismatches"] == 0


def test_with_a_hash_key_clear_entries_and_networks_match_and_nothing_clear_is_kept(
    profile: Profile, bundle: Path, tmp_path: Path
) -> None:
    with profile.running(tmp_path, bundle, RISKGATE_HASH_KEY=SECRET) as service:
        sent = service.post("/v1/lists/block", entries(("instrument", "vpa-9"), ("ip", "::ffff:192.0.2.77")))
        assert [one["value"][:3] for one in sent.json()["entries"]] == ["hi_", "hp_"]
        service.post("/v1/lists/watch", entries(("ip", "2001:db8::/32"), ("ip", "198.51.100.0/25")))
        assert rules(service, "h-1", instrument_id="vpa-9") == ["block_list_instrument"]
        assert rules(service, "h-2", ip="192.0.2.77") == ["block_list_ip"]
        assert rules(service, "h-3", ip="2001:DB8:1::5") == ["watch_list_ip"]
        assert rules(service, "h-4", ip="198.51.100.126") == ["watch_list_ip"]
        assert rules(service, "h-5", ip="198.51.100.129") == []
        assert service.receipt("h-4")["receipt"]["network"] == "198.51.100.0/25"
        assert service.receipt("h-4")["payment"]["ip"].startswith("hp_")
        profile.settle(service)
        assert figures(service)["mismatches"] == 0
        held = b" ".join(content for _, content in profile.held(service))
        files = b" ".join(one.read_bytes() for one in service.var.rglob("*") if one.is_file())
        for clear in (b"192.0.2.77", b"vpa-9", b"198.51.100.126"):
            assert clear not in held + files


@pytest.mark.parametrize("all_or_nothing", [False, True])
def test_a_file_with_wrong_lines_names_them(
    service: Service, profile: Profile, tmp_path: Path, all_or_nothing: bool
) -> None:
    prefix = f"f{int(all_or_nothing)}"
    lines = [f"payer,{prefix}-{number},import,2030-01-01" for number in range(1_200)]
    lines[3], lines[700], lines[1_199] = "planet,x,import,", "ip,300.1.1.1,import,", f"payer,{prefix}-x,import,soon"
    file = tmp_path / "list.csv"
    file.write_text("kind,value,reason,expires_at\n" + "\n".join(lines) + "\n")
    done = service.command(
        "list", "import", str(file), "--list", "watch", *(["--all-or-nothing"] if all_or_nothing else [])
    )
    assert done.returncode == 1, done.stderr
    text = " ".join((done.stdout + done.stderr).split())
    assert all(f"line {number}:" in text for number in (5, 702, 1_201)), text
    refused = (tmp_path / "list.csv.refused.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in refused] == ["line", "5", "702", "1201"]
    in_force(service, f"{prefix}-p", [] if all_or_nothing else ["watch_list_payer"], payer_id=f"{prefix}-1000")
