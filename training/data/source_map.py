"""The source map of a data set: one YAML file that maps source columns to payment fields.

The structs below are the schema of the file; `load` reports all problems together, each with its place and its
repair. See `training/data/datasets/handbook.yaml` for an example.
"""

from __future__ import annotations

import datetime as dt
from fractions import Fraction
from pathlib import Path

import msgspec
import yaml

from features.catalogue.calendar import calendar_problems
from features.catalogue.catalogue import Attribute, CatalogueParameters
from features.catalogue.vocabulary import vocabulary_problems
from features.domain.currencies import CURRENCIES
from features.domain.money import reference_weights
from features.domain.payment import CHANNELS, LABEL_SOURCES, RAILS
from features.domain.payment_fields import OPTIONAL_OF_HISTORY, REQUIRED
from features.errors import InvalidDeclaration
from training.recipe import Recipe

FOLDER = Path(__file__).parent / "datasets"
OPTIONAL = OPTIONAL_OF_HISTORY


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"source": "from"}):
    """The source of one field: a source column with at most one conversion, or a constant."""

    source: str | None = None
    constant: str | int | float | None = None
    prefix: str | None = None
    """Prefix of an id, so that ids of different kinds are distinct."""
    times: int | None = None
    """Major to minor units: the product must be a whole number up to floating point noise."""
    zone: str | None = None
    """IANA zone of a time without one; times with a zone need none."""
    values: dict[str, str] | None = None
    """Source value to our value."""
    ipv4_number: bool = False
    """An address written as the number 0..2^32-1."""
    hours_since: str | None = None
    """Hours from this other time column to the source column."""


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"column": "from"}):
    """The label: its column, the values that mean fraud, its source, and its delay in days."""

    column: str
    fraud_values: tuple[str | int | float | bool, ...] = (1,)
    source: str = "chargeback"
    delay_days: int = 7


class DeclaredAttribute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A field of the data set's own: the catalogue's declaration and the column it comes from."""

    name: str
    column: Column
    kind: str = "numeric"
    categories: tuple[str, ...] = ()
    sentence: str = ""
    unit: str = ""


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of payments (parquet or CSV) and the way to read it."""

    file: str
    where: str
    """Where a user gets the data."""
    columns: dict[str, Column]
    label: Label
    licence: str = ""
    sort: bool = False
    """Sort the rows by event time on reading; without it unsorted rows are refused."""


class Dataset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A data set file: its name, its source (none for a history of ours), and its training recipes."""

    name: str
    title: str
    reference_currency: str
    source: Source | None = None
    label_delay_days: int | None = None
    """Days until a label is known, for histories that need no mapping; else the label's own."""
    attributes: tuple[DeclaredAttribute, ...] = ()
    hour_rates: tuple[float, ...] = ()
    """Expected rate of each local hour relative to the day's mean; empty: not declared."""
    busy_days: dict[str, float] = {}
    """Day (`11-11`) to its expected traffic in ordinary days' payments."""
    currency_weights: dict[str, str | int | float] = {}
    """Own weight of a currency, or that of one that ISO 4217 does not list: minor units of the reference currency for
    one minor unit of it, as a decimal number or a fraction."""
    rails: tuple[str, ...] = ()
    """Rails beside the built-in ones."""
    channels: tuple[str, ...] = ()
    """Channels beside the built-in ones."""
    recipes: dict[str, Recipe] = {}

    @property
    def delay(self) -> dt.timedelta:
        """The label delay, which is also the gap before every test."""
        return dt.timedelta(days=self._delay_days)

    @property
    def _delay_days(self) -> int:
        if self.label_delay_days is not None:
            return self.label_delay_days
        return self.source.label.delay_days if self.source else 7

    def catalogue_parameters(self) -> CatalogueParameters:
        """The catalogue parameters of this data set."""
        own = tuple(Attribute(a.name, a.kind, a.categories, a.sentence, a.unit) for a in self.attributes)
        busy = tuple(sorted(self.busy_days.items()))
        return CatalogueParameters(
            self.reference_currency,
            self._delay_days,
            own,
            self.hour_rates,
            busy,
            currency_weights=self._weights(),
            rails=self.rails,
            channels=self.channels,
        )

    def _weights(self) -> dict[str, tuple[int, int]]:
        """The whole table; empty for this release's own."""
        if not self.currency_weights:
            return {}
        own = {code: Fraction(str(text)).as_integer_ratio() for code, text in self.currency_weights.items()}
        return reference_weights(self.reference_currency) | own

    def recipe(self, name: str | None = None) -> Recipe:
        """The named recipe; the first one if none is named.

        Raises:
            InvalidDeclaration: there is none of that name.
        """
        if name is None:
            return next(iter(self.recipes.values()), Recipe())
        if name not in self.recipes:
            known = ", ".join(self.recipes) or "none"
            raise InvalidDeclaration([f"{self.name} has no recipe {name!r}: use one of its own ({known})."])
        return self.recipes[name]


def known_datasets() -> tuple[str, ...]:
    """Names of the data sets that come with the repository."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load(name_or_path: str | Path) -> Dataset:
    """Read a data set by its name in `training/data/datasets/` or by the path of its YAML file.

    Raises:
        InvalidDeclaration: there is no such file, or its content is invalid (the message names every problem).
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = FOLDER / f"{name_or_path}.yaml"
    if not path.is_file():
        known = ", ".join(known_datasets())
        raise InvalidDeclaration([f"There is no data set {name_or_path}: name one of {known}, or a YAML file."])
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        dataset = msgspec.convert(content, Dataset, builtin_types=(dt.date,))
    except yaml.YAMLError as broken:
        raise InvalidDeclaration([f"{path.name} is not YAML: {broken}."]) from broken
    except msgspec.ValidationError as broken:
        raise InvalidDeclaration([f"{path.name}: {broken}. See Dataset in training/data/source_map.py."]) from broken
    found = problems(dataset)
    if found:
        raise InvalidDeclaration([f"{path.name}: {sentence}" for sentence in found])
    return dataset


def problems(dataset: Dataset) -> list[str]:
    """Every error in the file, each with its repair."""
    found = [p for name, recipe in dataset.recipes.items() for p in recipe.problems(f"recipes.{name}")]
    if dataset.reference_currency not in CURRENCIES:
        found.append(f"reference_currency {dataset.reference_currency!r} is unknown: use an ISO 4217 code.")
    found += calendar_problems(dataset.hour_rates, tuple(dataset.busy_days.items()))
    for name, known, own in (("rails", RAILS, dataset.rails), ("channels", CHANNELS, dataset.channels)):
        found += vocabulary_problems(name, own)
        found += [f"{name}: {word!r} is built in, leave it out." for word in own if word in known]
    for code, text in dataset.currency_weights.items():
        if _weight(text) is None:
            found.append(f"currency_weights.{code}: {text!r} is no number above 0, such as 0.0085 or 17/2000.")
        elif code == dataset.reference_currency:
            found.append(f"currency_weights.{code}: the reference currency weighs 1, leave it out.")
    if dataset.source is not None:
        found += _source_problems(dataset.source, dataset)
    for attribute in dataset.attributes:
        found += _column_problems(f"attributes.{attribute.name}", attribute.column)
    return found


def _weight(text: str | int | float) -> Fraction | None:
    try:
        weight = Fraction(str(text))
    except (ValueError, ZeroDivisionError):
        return None
    return weight if weight > 0 else None


def _source_problems(source: Source, dataset: Dataset) -> list[str]:
    found = [
        f"columns lacks {name}: map a source column or give a constant."
        for name in REQUIRED
        if name not in source.columns
    ]
    for name, column in source.columns.items():
        if name not in REQUIRED + OPTIONAL:
            found.append(f"columns.{name} is no field of a payment: declare it under attributes.")
        found += _column_problems(f"columns.{name}", column)
    currencies = tuple(sorted({*CURRENCIES, *dataset.currency_weights}))
    rails, channels = (*RAILS, *dataset.rails), (*CHANNELS, *dataset.channels)
    for name, words in (("rail", rails), ("channel", channels), ("currency", currencies)):
        column = source.columns.get(name, Column(constant=words[0]))
        values = (column.values or {}).values() if column.source is not None else (column.constant,)
        found += [f"columns.{name}: {word!r} is not one of {', '.join(words)}." for word in values if word not in words]
    if source.label.source not in LABEL_SOURCES:
        found.append(f"label.source {source.label.source!r} is unknown: use one of {', '.join(LABEL_SOURCES)}.")
    if not 1 <= source.label.delay_days <= 90:
        found.append("label.delay_days must lie in 1..90.")
    return found


def _column_problems(place: str, column: Column) -> list[str]:
    if (column.source is None) == (column.constant is None):
        return [f"{place} must say either `from` or `constant`."]
    conversions = (column.prefix, column.times, column.values, column.hours_since, column.ipv4_number or None)
    chosen = sum(c is not None for c in conversions)
    if chosen > 1:
        return [f"{place} asks for {chosen} conversions: keep one."]
    if column.source is None and chosen:
        return [f"{place} converts a constant: write the constant as it should be."]
    return []
