"""What a scoring process needs, checked and opened once before the process starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from serving.access.authenticator import Authenticator
from serving.model.model_store import bundle_folder
from serving.server.sockets import check_listening
from serving.settings import Settings
from serving.state.champion import BundleSource, Champion, open_champion


class Checked(NamedTuple):
    """What the checks opened; `warnings` are sentences about servers that are allowed but unsafe."""

    authenticator: Authenticator
    champion: Champion
    warnings: list[str]


def authenticator_of(settings: Settings) -> Authenticator:
    """The authenticator with the keys and the rate of the settings.

    Raises: CannotStart, InvalidKeys.
    """
    return Authenticator(settings.api_key, settings.keys, settings.rate_per_second)


def check(settings: Settings, hosts: Sequence[str]) -> Checked:
    """Check everything that a scoring process needs; `hosts` are the addresses on which it listens.

    Raises: CannotStart, InvalidKeys and the refusals of a bundle.
    """
    authenticator = authenticator_of(settings)
    check_listening(hosts, authenticator.keyless)
    warnings: list[str] = []
    if settings.production:
        # Imported here: the embedded profile needs no driver of a server.
        from serving.redis_store.server_checks import check_postgres, check_redis

        warnings = [*check_redis(settings.redis_url), *check_postgres(settings.postgres_url)]
    source = BundleSource(lambda: bundle_folder(settings.bundle, settings.var), settings.ledger)
    return Checked(authenticator, open_champion(source), warnings)
