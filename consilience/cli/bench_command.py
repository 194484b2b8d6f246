"""``consilience bench``"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from consilience.cli.console import console

if TYPE_CHECKING:
    from consilience.serving.bench import KernelRatio, Latency


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bench")(bench_command)


def bench_command(
    name: Annotated[str | None, typer.Argument(help="a version; the newest in the registry by default")] = None,
    registry: Annotated[str, typer.Option(help="registry folder or URL")] = "registry",
    targets: Annotated[Path | None, typer.Option(help="YAML file of latency targets")] = None,
    bundled: Annotated[str, typer.Option(help="bars to predict: demo or planted", metavar="NAME")] = "demo",
) -> None:
    """Latency of each member and of the stack through the loaded version, and each kernel against numpy."""
    from consilience.base.errors import InvalidInput
    from consilience.data import build_features
    from consilience.registry import Registry
    from consilience.serving import Live
    from consilience.serving.bench import kernel_ratios, load_targets, version_latencies
    from consilience.training import Config
    from consilience.training.problem import load_bars

    goals = load_targets(targets)
    store = Registry(registry, create=False)
    if name is None:
        versions = store.versions()
        if not versions:
            raise InvalidInput(f"The registry {registry} holds no version; make one with: consilience train")
        newest = max(versions, key=lambda version: version.created)
        name = f"{newest.name}=={newest.number}"
    live = Live.load(store, name)
    X = build_features(load_bars(Config.load(bundled))[0], live.features)
    one_asset = X.loc[[X.index[0][0]]]
    out = console()
    out.print(f"{name}: time for one call, milliseconds on this machine")
    _print_latencies(version_latencies(live.predictor, one_asset, goals), out)
    _print_kernels(kernel_ratios(), out)


def _print_latencies(latencies: "Sequence[Latency]", out: Console) -> None:
    from rich.table import Table

    table = Table()
    for column in ("model", "rows", "median", "p99", "target", ""):
        table.add_column(column, justify="left" if column in ("model", "") else "right")
    for item in latencies:
        verdict = "ok" if item.reached else "missed"
        table.add_row(item.name, str(item.rows), f"{item.median:.3f}", f"{item.p99:.3f}", f"{item.target:g}", verdict)
    out.print(table)


def _print_kernels(ratios: "Sequence[KernelRatio]", out: Console) -> None:
    from rich.table import Table

    table = Table()
    for column in ("kernel", "ms", "numpy ms", "times faster"):
        table.add_column(column, justify="left" if column == "kernel" else "right")
    for item in ratios:
        table.add_row(item.name, f"{item.kernel:.3f}", f"{item.peer:.3f}", f"{item.ratio:.0f}")
    out.print(table)
