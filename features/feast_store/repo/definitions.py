"""The definitions that Feast registers: entities, views and services, all derived from the catalogue.

`feast apply` imports this file, hence the objects of the default catalogue at its end;
features/feast_store/client.py calls `declare` for any other catalogue.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import msgspec
from feast import Entity, FeatureService, FeatureView, Field, FileSource, OnDemandFeatureView, RequestSource
from feast.types import Bool, FeastType, Float64, Int64, String
from feast.value_type import ValueType

from features.catalogue.catalogue import Catalogue, Feature, catalogue
from features.feast_store.views import (
    GENERATION,
    ON_DEMAND_VIEW,
    PAYMENT_COLUMNS,
    PROFILE_COLUMNS,
    computed_on_demand,
    id_column,
    lookup_keys,
    service_name,
    view_of,
    windows_in_ratios,
    windows_of,
)

# A velocity row is the value just before one payment. It is valid at that payment's time only: later windows have
# moved, and contain the payment.
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
        """All of them, in the order in which Feast can apply them."""
        return [*self.entities, *self.velocity, *self.profiles, self.on_demand, self.service]


class _DeclaredView(OnDemandFeatureView):  # type: ignore[misc]
    """An on-demand view whose fields are declared, not inferred."""

    def infer_features(self) -> None:
        """Infer nothing: Feast's trial run would pass arbitrary text as currency or mcc."""


def declare(catalogue: Catalogue) -> Declared:
    """Entities, views and the feature service of a catalogue."""
    entities = {
        name: Entity(name=name, join_keys=[id_column(name)], value_type=ValueType.STRING, description=text)
        for name, text in _WHO.items()
    }
    velocity = _velocity_views(catalogue, entities)
    profiles = _profile_views(entities)
    on_demand = _on_demand_view(catalogue, velocity, profiles)
    service = FeatureService(
        name=service_name(catalogue),
        features=[*velocity, on_demand],
        description="Every column of the model, in no order: the contract says the order.",
        tags={"generation": str(GENERATION), "contract": catalogue.contract().hash},
    )
    return Declared(list(entities.values()), velocity, profiles, on_demand, service)


def _velocity_views(catalogue: Catalogue, entities: dict[str, Entity]) -> list[FeatureView]:
    replayed = FileSource(name="velocity", path="data/velocity.parquet", timestamp_field="event_time")
    by_keys: dict[tuple[str, ...], list[Feature]] = {}
    for feature, aggregate in windows_of(catalogue):
        by_keys.setdefault(lookup_keys(aggregate), []).append(feature)
    return [
        FeatureView(
            name=view_of(keys),
            entities=[entities[key] for key in keys],
            ttl=VELOCITY_TTL,
            schema=[*_key_fields(keys), *(_field(feature) for feature in features)],
            source=replayed,
            # Read from the live state, which is a fold of the ledger: there is nothing to materialise.
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


def _on_demand_view(
    catalogue: Catalogue, velocity: list[FeatureView], profiles: list[FeatureView]
) -> OnDemandFeatureView:
    request = RequestSource(
        name="payment",
        schema=[Field(name=name, dtype=_TYPES[kind]) for name, kind in PAYMENT_COLUMNS.items()]
        + [
            Field(name=f"payment_attr_{a.name}", dtype=Float64 if a.kind == "numeric" else String)
            for a in catalogue.parameters.attributes
        ],
    )
    needed, computed = windows_in_ratios(catalogue), computed_on_demand(catalogue)
    sources = [view[[f.name for f in view.features if f.name in needed]] for view in velocity]
    source = _source_text(catalogue)
    return _DeclaredView(
        name=ON_DEMAND_VIEW,
        sources=[request, *profiles, *(view for view in sources if view.projection.features)],
        # Feast's registry drops descriptions and tags of on-demand fields, so the view's tags hold the sentences.
        schema=[Field(name=name, dtype=Float64) for name in computed],
        tags={feature.name: feature.sentence for feature in catalogue.features if feature.name in computed},
        mode="python",
        udf=_function(source),
        udf_string=source,
        description="Features of the payment alone, of its profiles, and ratios: the compiled kernel's own.",
    )


def _source_text(catalogue: Catalogue) -> str:
    """The view's function as source text: Feast stores it and runs it without this module."""
    parameters = msgspec.json.encode(catalogue.parameters).decode()
    return (
        f"def {ON_DEMAND_VIEW}(inputs):\n"
        "    from features.feast_store.on_demand import compute\n\n"
        f"    return compute(inputs, {parameters!r})\n"
    )


def _function(source: str) -> object:
    names: dict[str, object] = {"__name__": "__main__"}  # so that dill keeps it by value, as Feast does
    exec(source, names)
    return names[ON_DEMAND_VIEW]


def _key_fields(keys: tuple[str, ...]) -> list[Field]:
    return [Field(name=id_column(key), dtype=String) for key in keys]


def _field(feature: Feature) -> Field:
    tags = {"unit": feature.unit, "story": feature.typology, "reason": feature.reason}
    return Field(name=feature.name, dtype=Float64, description=feature.sentence, tags=tags)


# Feast finds its objects among this module's globals.
globals().update({f"_feast_{thing.name}": thing for thing in declare(catalogue()).objects()})
