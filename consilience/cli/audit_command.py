"""``consilience audit``"""

from pathlib import Path
from typing import Annotated, Any

import typer

from consilience.cli.console import console


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("audit")(audit_command)


def audit_command(
    function: Annotated[
        str, typer.Argument(help="your feature function, as FILE.py:NAME; it takes a DataFrame of bars")
    ],
    data: Annotated[Path | None, typer.Option(help="CSV file of bars")] = None,
    bundled: Annotated[str, typer.Option(help="bars to use without --data: demo or planted", metavar="NAME")] = "demo",
    cuts: Annotated[int, typer.Option(help="times at which the future is cut off and changed", min=1)] = 12,
) -> None:
    """Does your feature function look ahead? Names the columns and the first row that do; exit status 1 if any does.

    The file is executed: audit your own code only.
    """
    from consilience.data import load_csv
    from consilience.evaluation.audit import audit_pipeline
    from consilience.training import Config
    from consilience.training.problem import load_bars

    own = load_function(function)
    bars = load_csv(data) if data is not None else load_bars(Config.load(bundled))[0]
    found = audit_pipeline(own, bars, n_cuts=cuts)
    console().print(str(found), soft_wrap=True)
    if not found.passed:
        raise typer.Exit(1)


def load_function(reference: str) -> Any:
    """The function that ``FILE.py:NAME`` names.

    Raises
    ------
    InvalidInput : a wrong form, a missing file, a file that fails, or a name that is no function there.
    """
    import runpy

    from consilience.base.errors import InvalidInput, nearest

    file, colon, name = reference.rpartition(":")
    if not colon or not file.endswith(".py"):
        raise InvalidInput(f"{reference!r} must have the form FILE.py:FUNCTION, such as features.py:make_features.")
    if not Path(file).is_file():
        raise InvalidInput(f"There is no file {file}.")
    try:
        names = runpy.run_path(file)
    except Exception as error:
        raise InvalidInput(f"{file} fails when it is run: {type(error).__name__}: {error}") from error
    if not callable(names.get(name)):
        known = [key for key, value in names.items() if callable(value) and not key.startswith("_")]
        raise InvalidInput(f"{file} has no function {name!r}.{nearest(name, known)}")
    return names[name]
