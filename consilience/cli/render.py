"""What a finished training prints: the leaderboard, the verdicts, where things lie, and what to type next."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from consilience.evaluation.gates import insane

if TYPE_CHECKING:
    from consilience.evaluation.leaderboard import LeaderboardRow
    from consilience.training.result import Result

_COLUMNS = (("log_loss", "log loss", "{:.4f}"), ("auc", "AUC", "{:.3f}"), ("accuracy", "accuracy", "{:.3f}"))
_MARKS = {"pass": "[green]pass[/]", "fail": "[red]fail[/]", "inconclusive": "[yellow]open[/]"}


def print_result(result: "Result", out: Console) -> None:
    """Everything a user wants to see at the end of `consilience train`."""
    out.print()
    if insane(result.verdicts):
        out.print(headline(result), style="bold red", soft_wrap=True)
    out.print(leaderboard_table(result.leaderboard))
    for verdict in result.verdicts:
        out.print(f"{_MARKS[verdict.status]}  {verdict.gate}: {verdict.reason}", soft_wrap=True)
    out.print()
    out.print(headline(result), style="bold", soft_wrap=True)
    if result.holdout:
        out.print("Claimed out of fold, delivered by the untouched hold-out:")
    for delivered in result.holdout:
        out.print(f"  {delivered.sentence}", soft_wrap=True)
    out.print()
    promoted = ", pointer candidate" if result.promoted else ""
    out.print(
        f"Version  {result.version.ref} in {result.config.output.registry} (stage {result.version.stage}{promoted})"
    )
    out.print(f"Report   {result.report}", soft_wrap=True)
    out.print(f"Trials   {result.n_trials} configurations recorded on this market")
    out.print(f"Time     {result.seconds:.0f} s")
    out.print(f"Next:    {next_command(result)}", soft_wrap=True)


def leaderboard_table(rows: Sequence["LeaderboardRow"]) -> Table:
    """Members in order of log loss, then vote and stack as they come; each value with its 95 % interval."""
    table = Table(title="Out of fold, on the rows that all cover; [dim]95 % interval[/]", title_justify="left")
    table.add_column("", no_wrap=True)
    for _, title, _ in _COLUMNS:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("Sharpe after costs", justify="right", no_wrap=True)
    members = sorted((row for row in rows if not row.baseline), key=lambda row: row.metrics["log_loss"])
    for row in [*members, *(row for row in rows if row.baseline)]:
        cells = [_cell(row, name, form) for name, _, form in (*_COLUMNS, ("sharpe", "", "{:.2f}"))]
        table.add_row(row.name, *cells, style="bold" if row.name == "stack" else "dim" if row.baseline else "")
    return table


def headline(result: "Result") -> str:
    """The verdict in plain language."""
    broken = insane(result.verdicts)
    if broken is not None:
        return f"Not promoted: {broken.reason}"
    if result.promoted:
        return f"Promoted to candidate: {result.summary}"
    better = next((verdict for verdict in result.verdicts if verdict.gate.startswith("better than")), None)
    if better is not None and not better.passed:
        return "Not promoted: no demonstrable edge over always saying the base rate."
    stopped = [verdict.gate for verdict in result.verdicts if not verdict.passed]
    return f"Not promoted: stopped by {', '.join(stopped)}." if stopped else "Not promoted: no gate was asked."


def next_command(result: "Result") -> str:
    """What to type next: a prediction from the version that was just stored."""
    data = result.config.data
    bars = f"--data {data.path}" if data.source == "csv" else f"--bundled {data.source}"
    registry = "" if result.config.output.registry == "registry" else f" --registry {result.config.output.registry}"
    return f"consilience predict {result.config.name} {bars}{registry}"


def _cell(row: "LeaderboardRow", name: str, form: str) -> str:
    if name not in row.metrics:
        return "-"
    value = form.format(row.metrics[name])
    interval = row.intervals.get(name)
    if interval is None:
        return value
    return f"{value} [dim]{form.format(interval.lower)}..{form.format(interval.upper)}[/]"
