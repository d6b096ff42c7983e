"""How settings are read from the environment, and what it says to the libraries we build on.

Training and serving read variables of the same names: both read them here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

_SILENT = {
    "DO_NOT_TRACK": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "FEAST_USAGE": "False",
}


def silence_telemetry() -> None:
    """Switch usage reports off for this process and its children, unless the environment says otherwise."""
    for name, value in _SILENT.items():
        os.environ.setdefault(name, value)


PREFIX = "RISKGATE_"
#: What Kubernetes sets in every container for a Service: one named `riskgate` makes RISKGATE_PORT.
_OF_A_SERVICE = re.compile(r"(?:tcp|udp|sctp)://\S+", re.ASCII)
_LINE_END = re.compile(r"[ \t]*[\r\n]\s*$")


def sent(name: str, environment: Mapping[str, str] | None = None) -> str | None:
    """The value of one of our variables (`name` without prefix), None if it is not set.

    A value that was read from a mounted file ends with a line end, which is not part of it; nor are blanks around
    it. Of the hash key only a line end is cut off: every other character has made pseudonyms.

    >>> sent("PORT", {"RISKGATE_PORT": " 3000\\n"}), sent("HASH_KEY", {"RISKGATE_HASH_KEY": " key \\r\\n"})
    ('3000', ' key')
    """
    text = (os.environ if environment is None else environment).get(PREFIX + name)
    if text is None:
        return None
    return _LINE_END.sub("", text) if name == "HASH_KEY" else text.strip()


def is_of_a_service(text: str) -> bool:
    """Whether Kubernetes set this value, for a Service whose name begins like our variables, and no person did.

    >>> is_of_a_service("tcp://10.0.0.1:3000"), is_of_a_service("3000")
    (True, False)
    """
    return _OF_A_SERVICE.fullmatch(text) is not None


def feast_registry() -> str:
    """The database of Feast's registry (`RISKGATE_FEAST_REGISTRY`); empty: a file in the store's folder."""
    return sent("FEAST_REGISTRY") or ""


def var_folder() -> Path:
    """The folder of everything generated (`RISKGATE_VAR`)."""
    return Path(sent("VAR") or "var")


def bentoml_home(var: Path) -> Path:
    """The folder of BentoML's models and bentos: `BENTOML_HOME` where it is set, else `bentoml` below `var`."""
    chosen = os.environ.get("BENTOML_HOME")
    return Path(os.path.expandvars(chosen)).expanduser() if chosen else var / "bentoml"


def use_bentoml_home(var: Path) -> None:
    """Keep BentoML, in this process and its children, out of its default folder in the user's home.

    BentoML reads the variable when it needs its folder for the first time: call this before.
    """
    os.environ["BENTOML_HOME"] = str(bentoml_home(var).resolve())


def with_driver(url: str) -> str:
    """A PostgreSQL URL with the driver that is pinned here; any other URL as it is.

    >>> with_driver("postgresql://risk@db/registry")
    'postgresql+psycopg://risk@db/registry'
    >>> with_driver("sqlite:///registry.db")
    'sqlite:///registry.db'
    """
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if separator and scheme in ("postgres", "postgresql") else url
