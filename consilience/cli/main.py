"""The ``consilience`` command. Everything heavy is imported inside the commands, so that ``--help`` is immediate."""

import os
import sys

import typer

from consilience.cli import (
    audit_command,
    bench_command,
    predict_command,
    registry_commands,
    train_command,
    tune_command,
)

BACKENDS = ("jax", "tensorflow", "torch")

app = typer.Typer(
    name="consilience",
    help="Several very different models on one market series, joined, judged honestly and kept safely.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (train_command, predict_command, tune_command, audit_command, bench_command, registry_commands):
    command.register(app)


def main() -> None:
    """Run the command line: errors of consilience end in one line on stderr and exit status 1."""
    try:
        _check_backend()
        app()
    except KeyboardInterrupt:
        print("consilience: interrupted; what was finished is kept, run the same command to go on.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # the reader of our output (head, less) has left; there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        from consilience.base.errors import ConsilienceError  # not above: it costs `--help` a second of imports

        if not isinstance(error, ConsilienceError):
            raise
        print(f"consilience: {error}", file=sys.stderr)
        sys.exit(1)


def _check_backend() -> None:
    backend = os.environ.get("KERAS_BACKEND")
    if backend is not None and backend not in BACKENDS:
        from consilience.base.errors import InvalidInput, nearest

        raise InvalidInput(
            f"KERAS_BACKEND must be one of {', '.join(BACKENDS)}. Got {backend!r} instead.{nearest(backend, BACKENDS)}"
        )


if __name__ == "__main__":
    main()
