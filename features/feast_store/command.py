"""`python -m features store ...`: apply the catalogue to Feast, materialise the profiles, list views and services."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from features.catalogue.choose import chosen_catalogue
from features.progress import waiting
from features.settings import feast_registry

app = typer.Typer(help="The Feast store: registry, views, services, profiles.", no_args_is_help=True)
console = Console()

_FOLDER = typer.Option(Path("var/feast"), help="Folder of the store: registry, profiles, offline files.")
_CURRENCY = typer.Option("INR", help="Reference currency of the amounts.")
_CONTRACT = typer.Option(None, help="Use the parameters of this contract.json instead.")


@app.command()
def apply(folder: Path = _FOLDER, currency: str = _CURRENCY, contract: Path | None = _CONTRACT) -> None:
    """Register entities, views and the feature service of the catalogue."""
    from features.feast_store import client  # importing Feast takes seconds, so only these commands do

    catalogue = chosen_catalogue(contract, currency)
    with waiting(console, "applying the catalogue to Feast"):
        store = client.open_store(folder, catalogue, registry=feast_registry())
        service = client.apply(store, catalogue)
        client.close(store)
    console.print(f"{folder}: feature service {service}, {len(catalogue.names)} features.")


@app.command()
def materialize(folder: Path = _FOLDER, currency: str = _CURRENCY, contract: Path | None = _CONTRACT) -> None:
    """Bring every version of every profile from the offline files online."""
    from features.feast_store import client

    with waiting(console, "materialising the profiles"):
        store = client.open_store(folder, chosen_catalogue(contract, currency), registry=feast_registry())
        written = client.materialize_profiles(store)
        rows = len(written.load())
        client.close(store)
    console.print(f"{written.path}: {rows:,} profile versions.")


@app.command()
def show(folder: Path = _FOLDER, currency: str = _CURRENCY, contract: Path | None = _CONTRACT) -> None:
    """Print the feature views and services that the registry holds."""
    from features.feast_store import client

    store = client.open_store(folder, chosen_catalogue(contract, currency), registry=feast_registry())
    views = Table("view", "ids", "features", "served from")
    for view in store.list_feature_views():
        served_from = view.tags.get("served_from", "")
        views.add_row(view.name, ", ".join(view.join_keys), str(len(view.features)), served_from)
    for view in store.list_on_demand_feature_views():
        views.add_row(view.name, "the payment", str(len(view.features)), "computed")
    console.print(views)
    for service in store.list_feature_services():
        console.print(f"service {service.name}  contract {service.tags.get('contract', '')[:12]}")
    client.close(store)
