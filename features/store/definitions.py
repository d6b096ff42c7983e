"""What Feast is told: entities, views and services, all derived from the catalogue.

Feast imports this file by itself for `feast apply`, hence the objects of the default catalogue at the end;
`features.catalogue_store` calls `declare` for any other catalogue.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import msgspec
from feast import Entity, FeatureService, FeatureView, Field, FileSource, OnDemandFeatureView, RequestSource
from feast.types import Bool, FeastType, Float64, Int64, String
from feast.value_type import ValueType

from features.catalog import Catalog, Feature, catalog
from features.views import (
    GENERATION,
    ON_DEMAND_VIEW,
    PAYMENT_COLUMNS,
    PROFILE_COLUMNS,
    computed_on_demand,
    id_column,
    keys_of,
    service_name,
    view_of,
    windows_in_ratios,
    windows_of,
)

# A velocity row is the value just before one payment. It holds at that payment's own moment and no longer:
# a later moment has other windows, and the payment itself in them.
VELOCITY_TTL = timedelta(milliseconds=1)

_TYPES: dict[str, FeastType] = {"int": Int64, "str": String, "float": Float64, "bool": Bool}
_WHO = {
    "payer": "Who pays.",
    "instrument": "What is paid with: card token, wallet, UPI VPA or account.",
    "device": "The device the payment was made on.",
    "ip": "The IP address the payment came from.",
    "payee": "Who is paid: a merchant, store or person.",
}


class Declared(NamedTuple):
    """Everything one catalogue declares to Feast."""

    entities: list[Entity]
    velocity: list[FeatureView]
    profiles: list[FeatureView]
    on_demand: OnDemandFeatureView
    service: FeatureService

    def objects(self) -> list[Entity | FeatureView | OnDemandFeatureView | FeatureService]:
        """All of them, in an order that can be applied."""
        return [*self.entities, *self.velocity, *self.profiles, self.on_demand, self.service]


class _DeclaredView(OnDemandFeatureView):  # type: ignore[misc]
    """An on-demand view whose fields are declared, not inferred."""

    def infer_features(self) -> None:
        """Nothing to infer: Feast's trial run would send arbitrary text where a currency or mcc stands."""


def declare(known: Catalog) -> Declared:
    """Entities, views and the feature service of a catalogue."""
    entities = {
        name: Entity(name=name, join_keys=[id_column(name)], value_type=ValueType.STRING, description=text)
        for name, text in _WHO.items()
    }
    velocity = _velocity_views(known, entities)
    profiles = _profile_views(entities)
    on_demand = _on_demand_view(known, velocity, profiles)
    service = FeatureService(
        name=service_name(known),
        features=[*velocity, on_demand],
        description="Every column of the model, in no order: the contract says the order.",
        tags={"generation": str(GENERATION), "contract": known.contract().hash},
    )
    return Declared(list(entities.values()), velocity, profiles, on_demand, service)


def _velocity_views(known: Catalog, entities: dict[str, Entity]) -> list[FeatureView]:
    replayed = FileSource(name="velocity", path="data/velocity.parquet", timestamp_field="event_time")
    by_keys: dict[tuple[str, ...], list[Feature]] = {}
    for feature, aggregate in windows_of(known):
        by_keys.setdefault(keys_of(aggregate), []).append(feature)
    return [
        FeatureView(
            name=view_of(keys),
            entities=[entities[key] for key in keys],
            ttl=VELOCITY_TTL,
            schema=[*_key_fields(keys), *(_field(feature) for feature in features)],
            source=replayed,
            # Served from the live state, which is a fold of the ledger: there is nothing to materialise.
            online=False,
            description=f"What {' and '.join(keys)} did just before the payment.",
            tags={"served_from": "state"},
        )
        for keys, features in by_keys.items()
    ]


def _profile_views(entities: dict[str, Entity]) -> list[FeatureView]:
    return [
        FeatureView(
            name=f"{entity}_profile",
            entities=[entities[entity]],
            schema=[
                *_key_fields((entity,)),
                *(Field(name=column, dtype=_TYPES[kind], description=text) for column, (kind, text) in columns.items()),
            ],
            source=FileSource(
                name=f"{entity}_profile",
                path=f"data/{entity}_profile.parquet",
                timestamp_field="event_timestamp",
                created_timestamp_column="created_timestamp",
            ),
            online=True,
            description=f"What is known of the {entity} beyond its payments.",
            tags={"served_from": "profiles"},
        )
        for entity, columns in PROFILE_COLUMNS.items()
    ]


def _on_demand_view(known: Catalog, velocity: list[FeatureView], profiles: list[FeatureView]) -> OnDemandFeatureView:
    request = RequestSource(
        name="payment",
        schema=[Field(name=name, dtype=_TYPES[kind]) for name, kind in PAYMENT_COLUMNS.items()]
        + [
            Field(name=f"payment_attr_{a.name}", dtype=Float64 if a.kind == "numeric" else String)
            for a in known.parameters.attributes
        ],
    )
    needed, computed = windows_in_ratios(known), computed_on_demand(known)
    sources = [view[[f.name for f in view.features if f.name in needed]] for view in velocity]
    source = _source_text(known)
    return _DeclaredView(
        name=ON_DEMAND_VIEW,
        sources=[request, *profiles, *(view for view in sources if view.projection.features)],
        # Feast's registry forgets sentences and tags of on-demand fields, so the view's own tags hold them.
        schema=[Field(name=name, dtype=Float64) for name in computed],
        tags={feature.name: feature.sentence for feature in known.features if feature.name in computed},
        mode="python",
        udf=_function(source),
        udf_string=source,
        description="Features of the payment alone, of its profiles, and ratios: the compiled kernel's own.",
    )


def _source_text(known: Catalog) -> str:
    """The view's function as text: Feast keeps the text and runs it without this module around it."""
    parameters = msgspec.json.encode(known.parameters).decode()
    return (
        f"def {ON_DEMAND_VIEW}(inputs):\n"
        "    from features.on_demand import compute\n\n"
        f"    return compute(inputs, {parameters!r})\n"
    )


def _function(source: str) -> object:
    names: dict[str, object] = {"__name__": "__main__"}  # so that dill keeps it by value, as Feast does
    exec(source, names)
    return names[ON_DEMAND_VIEW]


def _key_fields(keys: tuple[str, ...]) -> list[Field]:
    return [Field(name=id_column(key), dtype=String) for key in keys]


def _field(feature: Feature) -> Field:
    tags = {"unit": feature.unit, "story": feature.story, "reason": feature.reason}
    return Field(name=feature.name, dtype=Float64, description=feature.sentence, tags=tags)


# Feast looks for objects among this module's names.
globals().update({f"_feast_{thing.name}": thing for thing in declare(catalog()).objects()})
