"""Windows never cross assets, never see the future, and copy no rows but those of a batch."""

import doctest
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consilience.base import InvalidInput, windows
from consilience.base.windows import sliding_windows


def naive(values, window, assets):
    """The slow oracle: for each row, the earlier rows of its asset, one by one."""
    out, lengths = np.zeros((len(values), window, values.shape[1]), values.dtype), []
    for row in range(len(values)):
        own = [r for r in range(row + 1) if assets[r] == assets[row]][-window:]
        out[row, window - len(own) :] = values[own]
        lengths.append(len(own))
    return out, np.array(lengths)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 8), st.integers(1, 4), st.integers(0, 10_000))
def test_windows_equal_the_oracle(n_rows, window, n_assets, seed):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((n_rows, 2)).astype(np.float32)
    assets = rng.integers(0, n_assets, n_rows)
    got = sliding_windows(values, window, assets)
    expected, lengths = naive(values, window, assets)
    rows = np.arange(n_rows)
    np.testing.assert_array_equal(got.left_padded(rows), expected)
    np.testing.assert_array_equal(got.lengths, lengths)
    np.testing.assert_array_equal(got.mask(rows).sum(axis=1), lengths)
    aligned = got.left_aligned(rows)
    for row in rows:
        np.testing.assert_array_equal(aligned[row, : lengths[row]], expected[row, window - lengths[row] :])
        assert not aligned[row, lengths[row] :].any()


def test_batches_cover_every_row_once_in_order():
    values = np.arange(23, dtype=np.float32)[:, None]
    got = sliding_windows(values, 3)
    seen = [(rows, x) for rows, x in got.batches(5)]
    np.testing.assert_array_equal(np.concatenate([rows for rows, _ in seen]), np.arange(23))
    np.testing.assert_array_equal(np.concatenate([x for _, x in seen]), got.left_aligned(np.arange(23)))
    assert max(len(x) for _, x in seen) == 5


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 3), st.integers(0, 10_000))
def test_what_is_transformed_while_it_is_read_equals_what_was_transformed_before(n_rows, window, n_assets, seed):
    rng = np.random.default_rng(seed)
    values, assets = rng.standard_normal((n_rows, 2)), rng.integers(0, n_assets, n_rows)

    def transform(rows):
        return (2 * rows + 1).astype(np.float32)

    late, early = sliding_windows(values, window, assets, transform), sliding_windows(transform(values), window, assets)
    for rows in (np.arange(n_rows), rng.permutation(n_rows)[: 1 + n_rows // 4], np.zeros(0, int)):
        found = late.left_aligned(rows)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, early.left_aligned(rows))
        np.testing.assert_array_equal(late.left_padded(rows), early.left_padded(rows))
        np.testing.assert_array_equal(late.only(rows).left_aligned(np.arange(len(rows))), found)


def test_the_rows_are_not_copied():
    values, assets = np.zeros((20_000, 64)), np.arange(20_000) % 3
    tracemalloc.start()
    got = sliding_windows(values, 50, assets, lambda rows: rows.astype(np.float32))
    _, made = tracemalloc.get_traced_memory()
    batch = got.left_aligned(np.arange(0, 20_000, 157))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.shares_memory(got.rows, values)
    assert made < 0.15 * values.nbytes
    assert peak < 0.15 * values.nbytes + 2 * batch.nbytes


@pytest.mark.parametrize("window", [0, -1, 2.5, True, None])
def test_a_window_that_is_no_count_is_refused(window):
    with pytest.raises(InvalidInput, match="window"):
        sliding_windows(np.zeros((5, 1)), window)


def test_a_vector_is_refused():
    with pytest.raises(InvalidInput, match="matrix"):
        sliding_windows(np.zeros(5), 2)


def test_examples():
    assert doctest.testmod(windows).failed == 0
