"""``consilience predict``"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console

from consilience.cli.console import console

if TYPE_CHECKING:
    import pandas as pd


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("predict")(predict_command)


def predict_command(
    name: Annotated[str, typer.Argument(help="a version: NAME, NAME==1.0.0 or NAME@production")],
    data: Annotated[Path | None, typer.Option(help="CSV file of bars, with history for the features")] = None,
    bundled: Annotated[
        str | None, typer.Option(help="bars that come with the package instead: demo or planted", metavar="NAME")
    ] = None,
    newest: Annotated[int, typer.Option(help="rows per asset")] = 1,
    registry: Annotated[str, typer.Option(help="registry folder or URL")] = "registry",
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Probabilities for the newest rows of a file, from a stored version."""
    from consilience.base.errors import InvalidInput
    from consilience.data import load_csv
    from consilience.registry import Registry
    from consilience.serving import Live
    from consilience.training import Config
    from consilience.training.problem import load_bars

    if (data is None) == (bundled is None):
        raise InvalidInput("Give the bars: either --data FILE.csv, or --bundled demo.")
    bars = load_csv(data) if data is not None else load_bars(Config.load(bundled))[0]
    store = Registry(registry, create=False)
    live = Live.load(store, name)
    table = live.predict_bars(bars, newest)
    out = console()
    if json:
        plain = table.reset_index()
        plain["time"] = plain["time"].astype(str)
        out.print_json(plain.to_json(orient="records", double_precision=15))
        return
    _print_table(table, f"{name}: {live.contract['label']}", out)


def _print_table(table: "pd.DataFrame", title: str, out: Console) -> None:
    from rich.table import Table

    shown = Table(title=title, title_justify="left")
    for column in ("asset", "time", *table.columns):
        shown.add_column(column, justify="left" if column in ("asset", "time") else "right")
    for key, row in table.iterrows():
        asset, time = cast("tuple[Any, Any]", key)
        shown.add_row(str(asset), f"{time:%Y-%m-%d}", *(f"{value:.6f}" for value in row))
    out.print(shown)
