"""``consilience train``"""

from typing import Annotated

import typer

from consilience.cli.console import TerminalProgress, console


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train_command)


def train_command(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CONFIG] [KEY=VALUE]...", help="a YAML file or a bundled config; then overrides"),
    ] = None,
) -> None:
    """Train every member on the same purged folds, stack them, judge the result, store a version, write a report.

    Without a config it runs the demo (daily S&P 500 and NASDAQ). Your own data: consilience train data.path=prices.csv
    (columns date, open, high, low, close, volume, and asset for a panel).
    """
    from consilience.cli.render import print_result
    from consilience.training import Config, train

    config = Config.load(*split_arguments(arguments or []))
    out = console()
    with TerminalProgress(out) as progress:
        result = train(config, progress=progress)
    print_result(result, out)


def split_arguments(arguments: list[str]) -> tuple[str | None, list[str]]:
    """The config, if the first argument is one, and the overrides.

    >>> split_arguments(["demo", "seed=1"]), split_arguments(["seed=1"])
    (('demo', ['seed=1']), (None, ['seed=1']))
    """
    if arguments and "=" not in arguments[0]:
        return arguments[0], arguments[1:]
    return None, arguments
