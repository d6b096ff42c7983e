"""What a scoring process needs, checked and opened once before the process starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from serving.access.authenticator import Authenticator
from serving.engine.champion import Champion, open_champion
from serving.model.model_store import bundle_folder
from serving.server.sockets import check_listening
from serving.settings import Settings


class Checked(NamedTuple):
    """What the checks opened; `warnings` are sentences about servers that are allowed but unsafe."""

    authenticator: Authenticator
    champion: Champion
    warnings: list[str]


def check(settings: Settings, hosts: Sequence[str]) -> Checked:
    """Check everything that a scoring process needs; `hosts` are the addresses on which it listens.

    Raises: CannotStart, InvalidKeys and the refusals of a bundle.
    """
    authenticator = Authenticator(settings)
    check_listening(hosts, authenticator.keyless)
    warnings: list[str] = []
    if settings.production:
        # Imported here: the embedded profile needs no driver of a server.
        from serving.redis_store.server_checks import check_postgres, check_redis

        warnings = [*check_redis(settings), *check_postgres(settings)]
    return Checked(authenticator, open_champion(settings, lambda: bundle_folder(settings)), warnings)
