"""Writes the fixtures of this release: run once per release, commit the result, and never change it afterwards.

    PYTHONPATH=. python tests/registry/write_fixtures.py [CLASS…]

One bundle per class of the catalogue goes to ``tests/registry/fixtures/<version of consilience>``, with the rows that
``test_old_versions.py`` predicts and what was predicted then.
"""

import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from consilience.registry import Registry
from tests.reference import zoo


def main() -> None:
    target = Path(__file__).with_name("fixtures") / version("consilience")
    if target.exists():
        sys.exit(f"{target} exists; fixtures of a release are not rewritten")
    target.mkdir(parents=True)
    X = zoo.rows().iloc[-60:]
    outputs = {}
    with tempfile.TemporaryDirectory() as folder, Registry(folder) as registry:
        for kind in sys.argv[1:] or zoo.CATALOG:
            registry.publish(kind.lower(), zoo.fitted(kind), native={})
            registry.export(kind.lower(), target / f"{kind}.bundle")
            outputs[kind] = zoo.outputs(kind, registry.load(kind.lower()), X)
            print(kind, (target / f"{kind}.bundle").stat().st_size, flush=True)
    np.savez_compressed(target / "expected.npz", X=X.to_numpy(), **outputs)


if __name__ == "__main__":
    main()
