"""Writes the fixtures of this release: what every class of the catalogue stores now, and predicts.

    PYTHONPATH=. python tests/registry/write_fixtures.py [--again] [CLASS…]

One bundle per class goes to ``tests/registry/fixtures/<version of consilience>``, with the rows that
``test_old_versions.py`` predicts and what was predicted then. Classes that have a fixture are left alone: what a
release has stored must load for ever. ``--again`` rewrites them, and is for a release that nobody has yet.
"""

import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from consilience.registry import Registry
from tests.reference import zoo

FIXTURES = Path(__file__).with_name("fixtures")
ROWS = 60


def main() -> None:
    again, kinds = "--again" in sys.argv, [name for name in sys.argv[1:] if not name.startswith("-")]
    target = FIXTURES / version("consilience")
    target.mkdir(parents=True, exist_ok=True)
    wanted = [kind for kind in kinds or zoo.CATALOG if again or not (target / f"{kind}.bundle").exists()]
    outputs = read_expected(target)
    with tempfile.TemporaryDirectory() as folder, Registry(folder) as registry:
        for kind in wanted:
            bundle = target / f"{kind}.bundle"
            bundle.unlink(missing_ok=True)
            registry.publish(kind.lower(), zoo.fitted(kind), native={})
            registry.export(kind.lower(), bundle)
            outputs[kind] = zoo.outputs(kind, registry.load(kind.lower()), zoo.rows().iloc[-ROWS:])
            print(kind, bundle.stat().st_size, flush=True)
            np.savez_compressed(target / "expected.npz", **outputs)


def read_expected(target: Path) -> dict[str, np.ndarray]:
    """What a release predicted, by class, and under ``X`` for which rows."""
    path = target / "expected.npz"
    if not path.exists():
        return {"X": zoo.rows().iloc[-ROWS:].to_numpy()}
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


if __name__ == "__main__":
    main()
