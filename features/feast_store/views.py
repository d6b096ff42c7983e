"""How the catalogue maps to feature views: the ids by which a feature is looked up, and the names of columns.

A window feature is looked up by the ids whose history it reads: one entity, two for the pair, and two for `is_new`.
Feast requires unique column names, so the request's columns are prefixed with `payment_` and a profile's with, for
example, `payer_profile_`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from features.catalogue.aggregate import Aggregate
from features.catalogue.catalogue import Catalogue, Feature
from features.domain.payment import ENTITIES, Payment
from features.domain.payment_fields import BY_NAME, Degrees, Whole
from features.state.profiles import PROFILE_KINDS, ProfileRow, Profiles, profile_columns

#: The entities that have an id of their own; `pair` is looked up by two of them.
KEYED: Final = tuple(entity for entity in ENTITIES if entity != "pair")
_PAIR: Final = ("payer", "payee")
NOT_SENT: Final = ""  # Feast has no missing id, and no valid id is empty

ON_DEMAND_VIEW: Final = "payment_features"
#: Generation of the set of features; raise it if models of the old set must keep their service.
GENERATION: Final = 1

_ON_DEMAND: Final = ("amount_minor", "currency", "rail", "channel", "mcc")


def _type_of(field: str) -> str:
    kind = BY_NAME[field].kind
    return "int" if isinstance(kind, Whole) else "float" if isinstance(kind, Degrees) else "str"


#: Inputs of the on-demand features from the payment: column and type, without `payment_attr_*`.
PAYMENT_COLUMNS: Final[dict[str, str]] = {
    "payment_event_time_ms": "int",
    **{f"payment_{name}": _type_of(name) for name in (*_ON_DEMAND, "payer_country", "payee_country")},
    "payment_has_device": "bool",
    **{f"payment_{name}": _type_of(name) for name in ("latitude", "longitude")},
}

#: Columns of the profile views: type and sentence.
PROFILE_COLUMNS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "payer": {
        "payer_profile_known_since_ms": ("int", "Since when this payer has been known, ms UTC."),
        "payer_profile_home_country": ("str", "Home country, ISO 3166-1 alpha-2."),
        "payer_profile_verification_level": ("int", "How well the identity is verified, 0 (not) to 3."),
    },
    "instrument": {
        "instrument_profile_known_since_ms": ("int", "Since when this instrument has been known, ms UTC."),
        "instrument_profile_kind": ("str", "Card token, wallet, UPI VPA or account."),
        "instrument_profile_issuer_country": ("str", "Country of the issuer, ISO 3166-1 alpha-2."),
    },
    "payee": {
        "payee_profile_known_since_ms": ("int", "Since when this payee has been known, ms UTC."),
        "payee_profile_mcc": ("str", "The payee's own merchant category, ISO 18245."),
        "payee_profile_country": ("str", "Country of the payee, ISO 3166-1 alpha-2."),
        "payee_profile_size": ("int", "Size class, 0 (street stall) to 4 (international brand)."),
    },
}


def lookup_keys(aggregate: Aggregate) -> tuple[str, ...]:
    """The entities by whose ids a window feature is looked up.

    >>> lookup_keys(Aggregate(how="is_new", by="payer", of="device"))
    ('payer', 'device')
    """
    involved = {aggregate.by} | ({aggregate.of} if aggregate.how == "is_new" and aggregate.of else set())
    if "pair" in involved:
        involved |= set(_PAIR)
    return tuple(entity for entity in KEYED if entity in involved)


def id_column(entity: str) -> str:
    """The column that holds an entity's id, as in a payment: `payer_id`, `ip`."""
    return entity if entity == "ip" else f"{entity}_id"


def service_name(catalogue: Catalogue) -> str:
    """The name of a catalogue's feature service, e.g. `risk_v1_a93b12cd`: Feast caches services by name."""
    return f"risk_v{GENERATION}_{catalogue.contract().hash[:8]}"


def view_of(keys: Sequence[str]) -> str:
    """The velocity view with these keys: `payer_velocity`, `pair_velocity`, `payer_device_velocity`."""
    return f"{'pair' if tuple(keys) == _PAIR else '_'.join(keys)}_velocity"


def windows_of(catalogue: Catalogue) -> list[tuple[Feature, Aggregate]]:
    """Every window feature with its declaration, in the order of the catalogue."""
    windows = [feature for feature in catalogue.features if feature.group == "window"]
    return list(zip(windows, catalogue.aggregates, strict=True))


def windows_in_ratios(catalogue: Catalogue) -> tuple[str, ...]:
    """The window features that ratios use."""
    used = {name for above, below, *_ in catalogue.ratios for name in (above, below)}
    return tuple(feature.name for feature in catalogue.features if feature.group == "window" and feature.name in used)


def computed_on_demand(catalogue: Catalogue) -> tuple[str, ...]:
    """The features of the payment alone, of its profiles, and the ratios."""
    return tuple(feature.name for feature in catalogue.features if feature.group != "window")


def online_row(payment: Payment, catalogue: Catalogue) -> dict[str, Any]:
    """One payment as an entity row of `get_online_features`."""
    row: dict[str, Any] = {id_column(e): getattr(payment, id_column(e)) or NOT_SENT for e in KEYED}
    for column in PAYMENT_COLUMNS:
        name = column.removeprefix("payment_")
        row[column] = payment.device_id is not None if name == "has_device" else getattr(payment, name)
    for attribute in catalogue.parameters.attributes:
        row[f"payment_attr_{attribute.name}"] = payment.attributes.get(attribute.name)
    return row


def historical_rows(history: pa.Table, catalogue: Catalogue) -> pa.Table:
    """A history as entity rows of `get_historical_features`, in the same order; absent columns are null."""
    present = set(history.column_names)

    def column(name: str, kind: str = "str") -> Any:
        return history[name] if name in present else pa.nulls(history.num_rows, _ARROW[kind])

    rows = {"transaction_id": history["transaction_id"], "event_timestamp": history["event_time"]}
    rows |= {id_column(entity): column(id_column(entity)) for entity in KEYED}
    for name, kind in PAYMENT_COLUMNS.items():
        rows[name] = column(name.removeprefix("payment_"), kind)
    rows["payment_event_time_ms"] = history["event_time"].cast(pa.timestamp("ms", "UTC")).cast(pa.int64())
    rows["payment_has_device"] = pc.is_valid(column("device_id"))
    for attribute in catalogue.parameters.attributes:
        kind = "float" if attribute.kind == "numeric" else "str"
        rows[f"payment_attr_{attribute.name}"] = column(f"attr_{attribute.name}", kind)
    return pa.table(rows)


def profile_values(row: ProfileRow) -> dict[str, Any]:
    """The fields of a profile, under the names of its view's columns."""
    entity = next(entity for entity, kind in PROFILE_KINDS.items() if type(row) is kind)
    return {f"{entity}_profile_{name}": getattr(row, name) for name in profile_columns(entity)}


def profile_of(entity: str, values: dict[str, Any], event_time_ms: int, created_time_ms: int) -> ProfileRow:
    """The profile in the columns of a view."""
    fields = {name: values.get(f"{entity}_profile_{name}") for name in profile_columns(entity)}
    return PROFILE_KINDS[entity](event_time_ms=event_time_ms, created_time_ms=created_time_ms, **fields)


def profile_table(profiles: Profiles, entity: str) -> pa.Table:
    """Every version of an entity's profiles with both of its times, as the view's offline file."""
    versions = list(profiles.versions(entity))
    moments = pa.timestamp("ms", "UTC")
    columns = {
        id_column(entity): pa.array([entity_id for entity_id, _ in versions], pa.string()),
        "event_timestamp": pa.array([row.event_time_ms for _, row in versions], moments),
        "created_timestamp": pa.array([row.created_time_ms for _, row in versions], moments),
    }
    values = [profile_values(row) for _, row in versions]
    for name, (kind, _) in PROFILE_COLUMNS[entity].items():
        columns[name] = pa.array([fields[name] for fields in values], _ARROW[kind])
    return pa.table(columns)


_ARROW: Final = {"int": pa.int64(), "str": pa.string(), "float": pa.float64(), "bool": pa.bool_()}
