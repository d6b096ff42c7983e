"""The two profiles as the application sees them: either answers payments and takes reports with the same calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serving.engine import Engine
    from serving.production.engine import RedisEngine
    from serving.production.runtime import RedisRuntime
    from serving.runtime import Runtime

    AnyEngine = Engine | RedisEngine
    AnyRuntime = Runtime | RedisRuntime
else:  # the embedded profile imports no driver of a server
    AnyEngine = AnyRuntime = Any
