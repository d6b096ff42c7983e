"""What a scoring process needs, looked at before one is started."""

from __future__ import annotations

from serving.access.authenticator import Door
from serving.model.model_store import bundle_folder
from serving.settings import Settings
from serving.state import startup


def check(settings: Settings) -> None:
    """Look at all that a scoring process needs before one is started.

    Raises: CannotStart and the refusals of a bundle.
    """
    if settings.production:
        # Only here: the embedded profile needs no driver of a server.
        from serving.redis_store.server_checks import check_postgres, check_redis

        check_redis(settings)
        check_postgres(settings)
    Door(settings)  # its key file
    startup.open_champion(lambda: bundle_folder(settings), settings)
