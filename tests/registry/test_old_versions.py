"""What earlier releases stored is loaded by this one and predicts the same."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.reference import zoo

RELEASES = sorted(path for path in (Path(__file__).parent / "fixtures").glob("*") if path.is_dir())
NETWORKS = ("LSTM", "Transformer", "CNN", "Voting", "Stacking")  # they compile for seconds


def cases():
    for release in RELEASES:
        for bundle in sorted(release.glob("*.bundle")):
            slow = bundle.stem.startswith(NETWORKS)
            marks = [pytest.mark.slow] if slow else []
            yield pytest.param(bundle, id=f"{release.name}-{bundle.stem}", marks=marks)


@pytest.mark.parametrize("bundle", list(cases()))
def test_an_older_release_is_loaded_and_predicts_the_same(local, bundle):
    local.import_bundle(bundle, "old")
    with np.load(bundle.with_name("expected.npz"), allow_pickle=False) as stored:
        rows, expected = stored["X"], stored[bundle.stem]
    newest = zoo.rows().iloc[-len(rows) :]
    X = pd.DataFrame(rows, index=newest.index, columns=newest.columns)
    np.testing.assert_allclose(zoo.outputs(bundle.stem, local.load("old"), X), expected, rtol=0, atol=1e-6)


def test_every_class_has_a_fixture():
    """A class that is stored today must be loadable by every later release."""
    kept = {bundle.stem for release in RELEASES for bundle in release.glob("*.bundle")}
    missing = sorted(set(zoo.CATALOG) - kept)
    assert not missing, f"PYTHONPATH=. python tests/registry/write_fixtures.py {' '.join(missing)}"
