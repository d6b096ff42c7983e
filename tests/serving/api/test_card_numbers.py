"""Law 7, proved: numbers are sent in every string of every route, and stand in no reply, log or file afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.flow.desk_process import console_process
from tests.serving.api.card_numbers import CARDS, FULL_WIDTH, files_with_numbers, found_in, send_everywhere, spellings
from tests.serving.profiles import Profile, both_profiles
from tests.serving.scoring_world import payment, running, suspicious


@both_profiles
@pytest.mark.parametrize("setting", ["json", "text"])
def test_no_clear_card_number_is_told_logged_or_stored(
    profile: Profile, bundle: Path, tmp_path: Path, setting: str
) -> None:
    with profile.running(tmp_path, bundle, RISKGATE_LOG=setting, RISKGATE_LOG_DECISIONS="all") as service:
        replies = list(send_everywhere(service))
        assert len(replies) > 500
        assert [reply for reply in replies if found_in(reply)] == []
        assert found_in(service.client.get("/metrics").content) == []
        # while it runs: the write-ahead log too
        assert files_with_numbers(tmp_path) == []
        # Parties of their own: those above were reported as fraud.
        others = {name: f"{name}-after" for name in ("payer_id", "instrument_id", "payee_id", "device_id")}
        assert service.score(payment("card-after", **others, ip="198.51.100.7")).json()["decision"] == "approve"
        held = list(profile.held(service))
        profile.settle(service)
        held += profile.held(service)
        assert [place for place, content in held if found_in(content)] == []
        if profile.name == "production":
            assert {place.split()[0] for place, content in held if b"card-after" in content} == {"Redis", "PostgreSQL"}
    assert files_with_numbers(tmp_path) == []


def test_the_desk_keeps_none_either(bundle: Path, tmp_path: Path) -> None:
    import httpx

    with running(tmp_path, bundle) as service:
        service.score(suspicious("desk-1"))
        with console_process(service.var) as address, httpx.Client(base_url=address, follow_redirects=True) as client:
            for card in CARDS:
                for text in spellings(card):
                    for reply in (
                        client.get("/cases", params={"find": text}),
                        client.get("/case", params={"id": text}),
                        client.get("/sign-in", params={"next": text}),
                        client.get(f"/{text}"),
                        client.post("/sign-in", data={"name": text, "password": text, "visit": text}),
                        client.get("/", headers={"user-agent": text.encode()}),
                    ):
                        assert found_in(reply.content) == [], reply.url
        assert files_with_numbers(tmp_path) == []


@pytest.mark.parametrize("text", spellings(CARDS[0]))
def test_the_search_finds_what_is_there(tmp_path: Path, text: str) -> None:
    for place, content in enumerate((text, json.dumps({"a": [text]}, ensure_ascii=False), f"\x00\x01{text}\x00")):
        (tmp_path / f"file-{place}").write_text(content)
    assert len(files_with_numbers(tmp_path)) == 3
    assert CARDS[0].translate(FULL_WIDTH) != CARDS[0]
