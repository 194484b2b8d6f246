"""What is loaded in another process predicts what was published, for every class of the catalogue."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from consilience.registry import Registry
from tests.reference import zoo
from tests.registry.processes import ROOT, environment

EXACT = ("Forest", "HMM", "XGBoost", "LightGBM", "Lorentzian", "Logistic", "Ridge")  # the same code on the same arrays


# Networks take long to compile: the fast suite leaves them to the slow one and to their own package.
QUICK = tuple(kind for kind in zoo.SINGLE if not kind.startswith(("LSTM", "Transformer", "CNN")))


@pytest.fixture(scope="module", params=["quick", pytest.param("all", marks=pytest.mark.slow)])
def published(request, tmp_path_factory):
    """A registry with one version of every class, and the outputs of the models that were published."""
    root = tmp_path_factory.mktemp("zoo")
    kinds = QUICK if request.param == "quick" else tuple(zoo.CATALOG)
    X, expected = zoo.rows(), {}
    with Registry(root / "registry") as registry:
        for kind in kinds:
            model = zoo.fitted(kind)
            registry.publish(kind.lower(), model)
            expected[kind] = zoo.outputs(kind, model, X)
    return root, expected


_LOAD = """
import sys
import numpy as np
from consilience.registry import Registry
from tests.reference import zoo
registry, X = Registry(sys.argv[1], read_only=True), zoo.rows()
registry.load("randomforestclassifier")
imported = [m for m in ("keras", "tensorflow", "torch", "xgboost", "lightgbm") if m in sys.modules]
assert not imported, f"loading a forest imports {imported}"
np.savez(sys.argv[2], **{kind: zoo.outputs(kind, registry.load(kind.lower()), X) for kind in sys.argv[3:]})
"""


def test_every_class_predicts_the_same_in_a_fresh_process(published):
    root, expected = published
    out = root / "outputs.npz"
    subprocess.run(
        [sys.executable, "-c", _LOAD, root / "registry", out, *expected], check=True, cwd=ROOT, env=environment()
    )
    with np.load(out) as found:
        assert set(found.files) == set(expected)
        for kind, values in expected.items():
            if kind.startswith(EXACT):
                np.testing.assert_array_equal(found[kind], values, err_msg=kind)
            else:
                np.testing.assert_allclose(found[kind], values, rtol=0, atol=1e-6, err_msg=kind)


def test_the_state_comes_back_to_the_bit(published):
    root, expected = published
    with Registry(root / "registry") as registry:
        for kind in expected:
            digest = zoo.fitted(kind).get_state().digest()
            assert registry.state(kind.lower()).digest() == digest == registry.show(kind.lower()).digest, kind


def test_no_stored_file_can_hold_code(published):
    root, _ = published
    for path in (root / "registry" / "artifacts").rglob("*"):
        if path.is_file():
            assert path.suffix in {".json", ""} or path.parent.name == "native", path
            if path.suffix == ".json" and Path(path).parent.name != "native":
                json.loads(path.read_text())
            assert not path.read_bytes().startswith((b"\x80\x04", b"\x80\x05", b"PK", b"\x93NUMPY", b"\x89HDF")), path
