import pytest

from consilience.base import InvalidInput
from consilience.data import build_features
from consilience.serving.bench import kernel_ratios, load_targets, version_latencies

pytestmark = pytest.mark.xdist_group("trained")


def test_every_member_and_the_stack_are_measured_against_their_target(trained, planted_bars):
    X = build_features(planted_bars.loc[["PLANTED1"]])
    results = version_latencies(trained.stack, X, load_targets(), rows=(1, 50))
    assert [item.name for item in results[::2]] == [*trained.stack.members_, "stack"]
    assert all(0 < item.median <= item.p99 and item.target <= 100 for item in results)


def test_kernels_agree_with_numpy_before_they_are_timed():
    ratios = kernel_ratios()
    assert [item.name.split()[0] for item in ratios] == ["Lorentzian", "HMM", "Random"]
    assert all(item.kernel > 0 and item.peer > 0 for item in ratios)


@pytest.mark.parametrize("text", ["outer_limit: 100", "- 1", "a: ["])
def test_targets_that_are_incomplete_are_refused(tmp_path, text):
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(InvalidInput, match=r"t\.yaml"):
        load_targets(tmp_path / "t.yaml")


def test_a_missing_targets_file_is_named(tmp_path):
    with pytest.raises(InvalidInput, match="no targets file"):
        load_targets(tmp_path / "none.yaml")
