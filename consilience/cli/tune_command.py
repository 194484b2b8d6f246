"""``consilience tune``"""

from pathlib import Path
from typing import Annotated

import typer

from consilience.cli.console import TerminalProgress, console


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("tune")(tune_command)


def tune_command(
    member: Annotated[str, typer.Argument(help="a member of the config, such as lightgbm")],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[CONFIG] [KEY=VALUE]...")] = None,
    trials: Annotated[int, typer.Option(help="settings to try", min=1)] = 20,
    output: Annotated[Path | None, typer.Option(help="config to write; default runs/tuned-MEMBER.yaml")] = None,
) -> None:
    """Search one member's settings on the purged folds (Optuna, TPE) and write the best as a config for `train`.

    Every trial is recorded in the run ledger, and the verdicts of later trainings count it.
    """
    from consilience.cli.train_command import split_arguments
    from consilience.training import Config
    from consilience.training.tune import tune

    config = Config.load(*split_arguments(arguments or []))
    out = console()
    with TerminalProgress(out) as progress:
        found = tune(config, member, trials, output, progress=progress)
    out.print(f"Best log loss {found.log_loss:.5f} (with the config's settings {found.start_log_loss:.5f}).")
    for name, value in found.params.items():
        out.print(f"  {name}: {value}")
    out.print(f"{found.n_trials} trials are in the ledger {found.ledger}.")
    out.print(f"Next:  consilience train {found.config}")
