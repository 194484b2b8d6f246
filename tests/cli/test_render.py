"""What a finished training prints first."""

import dataclasses
import io

from rich.console import Console

from consilience.cli.render import headline, print_result
from consilience.evaluation.gates import SANITY, Verdict


def printed(result):
    out = io.StringIO()
    print_result(result, Console(file=out, width=200))
    return out.getvalue()


def test_a_broken_stack_is_said_before_anything_else(trained):
    reason = "the log loss of the stack, 18.5, is far above the 0.694 of lightgbm: its combination is broken"
    broken = Verdict(SANITY, "fail", f"{reason}; do not use it.", {"loss": 18.5})
    result = dataclasses.replace(trained, verdicts=[broken, *trained.verdicts[1:]], promoted=False)
    first = next(line for line in printed(result).splitlines() if line.strip())
    assert first.startswith(f"Not promoted: {reason}")
    assert headline(result) == f"Not promoted: {broken.reason}"


def test_an_ordinary_run_begins_with_the_leaderboard_and_lists_the_sanity_gate(trained):
    text = printed(trained)
    assert next(line for line in text.splitlines() if line.strip()).startswith("Out of fold")
    assert trained.verdicts[0].gate == SANITY and trained.verdicts[0].passed
    assert "pass  sanity: its log loss is" in text
