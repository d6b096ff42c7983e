"""The catalogue that a command works with: that of a contract file, or this code's for a reference currency."""

from __future__ import annotations

from pathlib import Path

import msgspec

from features.catalogue.catalogue import Catalogue, CatalogueParameters, catalogue, catalogue_of
from features.domain.contract import Contract
from features.errors import InvalidDeclaration


def chosen_catalogue(contract: Path | None, currency: str) -> Catalogue:
    """The catalogue with the parameters of a contract.json if one is named, else with this reference currency.

    Raises: InvalidDeclaration if the file is absent or no contract, or if the currency is unknown.
    """
    if contract is None:
        return catalogue(CatalogueParameters(reference_currency=currency))
    try:
        return catalogue_of(Contract.from_json(contract.read_bytes()))
    except FileNotFoundError as problem:
        raise InvalidDeclaration([f"There is no file {contract}: name the contract.json of a bundle."]) from problem
    except msgspec.DecodeError as problem:
        raise InvalidDeclaration(
            [f"{contract} is not a feature contract ({problem}): name the contract.json of a bundle."]
        ) from problem
