"""The ``consilience`` command."""


def main() -> None:
    raise SystemExit(0)
