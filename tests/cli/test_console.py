import io

from rich.console import Console

from consilience.cli.console import TerminalProgress


def shown(terminal):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100)
    with TerminalProgress(console) as progress:
        progress.begin(2, "Folding")
        progress.step("lstm, fold 1 of 2")
        progress.say("a sentence that stays")
        progress.step("lstm, fold 2 of 2")
        progress.begin(1, "Refitting")
        progress.step("lstm")
    return out.getvalue()


def test_a_log_gets_lines_with_the_time_left():
    text = shown(terminal=False)
    assert "Folding\n" in text and "2/2  lstm, fold 2 of 2  (about 0 s left)" in text
    assert "a sentence that stays" in text and "1/1  lstm" in text
    assert "\x1b[" not in text


def test_a_terminal_gets_a_bar():
    text = shown(terminal=True)
    assert "\x1b[" in text and "a sentence that stays" in text
