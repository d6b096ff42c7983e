"""The flows run in both profiles where they say so."""

from tests.serving.conftest import profile, server_urls

__all__ = ["profile", "server_urls"]
