"""The two profiles as the application sees them: either answers payments and takes reports with the same calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serving.engine.clustered.engine import RedisEngine
    from serving.engine.clustered.runtime import RedisRuntime
    from serving.engine.embedded.engine import Engine
    from serving.engine.embedded.runtime import Runtime

    AnyEngine = Engine | RedisEngine
    AnyRuntime = Runtime | RedisRuntime
else:  # the embedded profile imports no driver of a server
    AnyEngine = AnyRuntime = Any
