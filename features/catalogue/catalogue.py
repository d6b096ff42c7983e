"""The catalogue: every feature, in the order of the model's columns, with its typology, unit and sentence.

Names, Feast fields, column order, reason texts and documentation derive from it.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from features.catalogue import payment_features
from features.catalogue.aggregate import DAY, Aggregate
from features.catalogue.calendar import Calendar, calendar_problems
from features.catalogue.typologies import REASONS, Ratio, Typology, ratios, typologies
from features.catalogue.vocabulary import codes_of, vocabulary_problems
from features.domain.addresses import window_address
from features.domain.contract import KERNEL_VERSION, Contract
from features.domain.currencies import CURRENCIES
from features.domain.money import reference_minor, reference_weights, weight_problems
from features.domain.payment import CHANNELS, RAILS
from features.domain.utc_offsets import UTC_OFFSET_MINUTES
from features.errors import InvalidDeclaration

#: Bits of the prefix that counts as one entity where each IPv6 address stands alone.
ALONE = 128


class Attribute(msgspec.Struct, frozen=True):
    """A field of the caller's own: a number, or a category of a declared list (any other category has code -1)."""

    name: str
    kind: str = "numeric"
    categories: tuple[str, ...] = ()
    sentence: str = ""
    unit: str = ""


class CatalogueParameters(msgspec.Struct, frozen=True):
    """What a deployment chooses: reference currency (ISO 4217), label delay in days, own attributes, calendar.

    `ipv6_windows` is the prefix by which IPv6 addresses count as one entity, 64 or 128 bits (contracts of before: 128).
    `hour_rates` are 24 expected rates by local hour relative to the day's mean; `busy_days` are pairs of a day
    (`11-11`) and its traffic in ordinary days' payments. `currency_weights` is the whole table of weights for the
    reference currency (features/domain/money.py), empty for this release's own: a contract keeps its table. `rails`
    and `channels` are words of the deployment's own beside RAILS and CHANNELS.
    """

    reference_currency: str = "INR"
    label_delay_days: int = 7
    attributes: tuple[Attribute, ...] = ()
    hour_rates: tuple[float, ...] = ()
    busy_days: tuple[tuple[str, float], ...] = ()
    ipv6_windows: int = 64
    currency_weights: dict[str, tuple[int, int]] = {}
    rails: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


class Feature(msgspec.Struct, frozen=True):
    """One column of the model. `entity` is the entity whose history it reads; only window features have one."""

    name: str
    typology: str
    reason: str
    unit: str
    sentence: str
    entity: str | None
    group: str  # request, profile, attribute, window or ratio
    declaration: str
    is_code: bool = False  # a category, not a quantity


class Catalogue:
    """All features for one set of parameters.

    Raises: InvalidDeclaration with every problem.

    >>> catalogue().index["payer_count_1h"] == catalogue().names.index("payer_count_1h")
    True
    """

    def __init__(self, parameters: CatalogueParameters) -> None:
        problems = _problems(parameters)
        if problems:
            raise InvalidDeclaration(problems)
        self.parameters = parameters
        self.typologies = typologies(parameters.label_delay_days * DAY)
        self.aggregates: tuple[Aggregate, ...] = tuple(a for _, _, group in self.typologies for a in group)
        problems = [p for a in self.aggregates for p in a.problems()]
        self.ratios = ratios(parameters.label_delay_days)
        self.features = _features(parameters, self.typologies, self.ratios)
        self.names = tuple(f.name for f in self.features)
        problems += [f"{n}: declared twice, remove one." for n in sorted(set(self.names)) if self.names.count(n) > 1]
        if problems:
            raise InvalidDeclaration(problems)
        self.index = {name: i for i, name in enumerate(self.names)}
        self.reasons = dict(REASONS)
        self.weights = parameters.currency_weights or reference_weights(parameters.reference_currency)
        self.minor_per_major = {code: 10.0 ** CURRENCIES[code][0] for code in self.weights if code in CURRENCIES}
        self.rail_codes, self.channel_codes = codes_of(RAILS, parameters.rails), codes_of(CHANNELS, parameters.channels)
        self.rails, self.channels = frozenset(self.rail_codes), frozenset(self.channel_codes)
        #: The key of an address's windows.
        self.address_key: Callable[[str], str] = str if parameters.ipv6_windows == ALONE else window_address
        #: The Python types of the caller's own fields.
        self.attribute_types: dict[str, tuple[type, ...]] = {
            one.name: (str,) if one.categories else (int, float) for one in parameters.attributes
        }
        self.calendar = Calendar(parameters.hour_rates, parameters.busy_days)

    def reference_minor(self, amount_minor: int, currency: str) -> int:
        """The amount in reference minor units; UNKNOWN_AMOUNT for a currency without a weight."""
        return reference_minor(amount_minor, currency, self.weights)

    def words_of(self, field: str) -> frozenset[str]:
        """The vocabulary of `rail` or `channel`."""
        return self.rails if field == "rail" else self.channels

    def contract(self) -> Contract:
        """The contract of a model that is trained on this catalogue."""
        return Contract(
            kernel=KERNEL_VERSION,
            parameters={
                "reference_currency": self.parameters.reference_currency,
                "label_delay_days": self.parameters.label_delay_days,
                # through JSON, so that a contract equals the one that was read back from a file
                "attributes": msgspec.json.decode(msgspec.json.encode(self.parameters.attributes)),
                "hour_rates": list(self.parameters.hour_rates),
                "busy_days": [list(pair) for pair in self.parameters.busy_days],
                "currency_weights": {code: list(pair) for code, pair in self.weights.items()},
                "utc_offset_minutes": UTC_OFFSET_MINUTES,
                **({} if self.parameters.ipv6_windows == ALONE else {"ipv6_windows": self.parameters.ipv6_windows}),
                **{name: list(words) for name, words in self._own_words().items() if words},
            },
            columns=tuple((f.name, f.declaration) for f in self.features),
        )

    def _own_words(self) -> dict[str, tuple[str, ...]]:
        return {"rails": self.parameters.rails, "channels": self.parameters.channels}


def _problems(parameters: CatalogueParameters) -> list[str]:
    found = []
    if parameters.reference_currency not in CURRENCIES:
        found.append(f"reference_currency {parameters.reference_currency!r} is unknown: use an ISO 4217 code we list.")
    if parameters.ipv6_windows not in (64, ALONE):
        found.append("ipv6_windows must be 64 or 128.")
    if parameters.currency_weights:
        found += weight_problems(parameters.currency_weights, parameters.reference_currency)
    found += vocabulary_problems("rails", parameters.rails) + vocabulary_problems("channels", parameters.channels)
    if not 1 <= parameters.label_delay_days <= 90:
        found.append("label_delay_days must lie in 1..90.")
    found += calendar_problems(parameters.hour_rates, parameters.busy_days)
    seen = set()
    for a in parameters.attributes:
        if a.kind not in ("numeric", "categorical") or (a.kind == "categorical") != bool(a.categories):
            found.append(f"attribute {a.name}: kind is numeric, or categorical with its categories.")
        if not a.name.isidentifier() or a.name in seen:
            found.append(f"attribute {a.name}: the name must be an identifier, used once.")
        seen.add(a.name)
    return found


def _features(
    parameters: CatalogueParameters, typologies: tuple[Typology, ...], ratios: tuple[Ratio, ...]
) -> tuple[Feature, ...]:
    codes = ("rail", "channel", "mcc")
    features = [
        Feature(name, typology, reason, unit, sentence, None, group, f"{group} {name} v1", name in codes)
        for group, rows in (
            ("request", payment_features.REQUEST_FEATURES),
            ("profile", payment_features.PROFILE_FEATURES),
        )
        for name, typology, reason, unit, sentence in rows
    ]
    for a in parameters.attributes:
        declared = msgspec.json.encode(a).decode()
        sentence = a.sentence or f"The caller's own field {a.name}."
        features.append(
            Feature(f"attr_{a.name}", "caller", "CALLER_ATTRIBUTE", a.unit or a.kind, sentence, None, "attribute",
                    declared, a.kind == "categorical")
        )  # fmt: skip
    for typology, reason, group_of in typologies:
        features += [
            Feature(a.name, typology, reason, a.unit, a.sentence, a.by, "window", msgspec.json.encode(a).decode())
            for a in group_of
        ]
    for above, below, name, typology, reason, sentence in ratios:
        features.append(Feature(name, typology, reason, "ratio", sentence, None, "ratio", f"{above} / {below}"))
    return tuple(features)


def catalogue(parameters: CatalogueParameters | None = None) -> Catalogue:
    """The catalogue for these parameters (the defaults if none are given)."""
    return Catalogue(parameters or CatalogueParameters())


def catalogue_of(contract: Contract) -> Catalogue:
    """The catalogue this code builds from a contract's parameters; compare `contract()` of both before use.

    A contract of an older release keeps its own table of weights: its receipts verify, and a currency that it lacks
    has no weight.
    """
    keep = {f.name for f in msgspec.structs.fields(CatalogueParameters)}
    chosen = {"ipv6_windows": ALONE} | {k: v for k, v in contract.parameters.items() if k in keep}
    parameters = msgspec.convert(chosen, CatalogueParameters)
    reference = parameters.reference_currency
    if reference in CURRENCIES and parameters.currency_weights == reference_weights(reference):
        parameters = msgspec.structs.replace(parameters, currency_weights={})
    return Catalogue(parameters)
