"""Numba code of the forest: check the structure, lay the nodes out for speed, add up the trees. Arrays in, arrays out.

A forest is T trees in flat arrays over all N nodes; tree t owns the nodes ``start[t]`` to ``start[t + 1]`` and
``left`` and ``right`` count from ``start[t]``. A leaf has feature -1.
"""
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

import numpy as np
from numba import njit, prange

MISSING_LEFT = 1  # NaN (and zero, with ZERO_IS_MISSING) goes left
NAN_IS_ZERO = 2  # NaN is read as 0.0 (a feature that had no missing value when LightGBM was fitted)
ZERO_IS_MISSING = 4  # |x| <= 1e-35 is missing too (LightGBM's zero_as_missing)
ZERO = 1e-35

OK, BAD_START, BAD_FEATURE, BAD_CHILD, NOT_A_TREE, BAD_THRESHOLD, BAD_VALUE, TOO_DEEP, BAD_FLAG, BAD_OUTPUT = range(10)


@njit(cache=True, nogil=True)
def check_trees(
    start, output, feature, threshold, left, right, missing, value, n_features, n_outputs, max_depth, depth
):
    """(code, node): what is wrong with the forest first, and where; fills ``depth`` (T,) with each tree's depth.

    Children must lie behind their parent inside their own tree and have one parent each: no walk can loop or leave it.
    """
    n_nodes = feature.size
    n_trees = output.size
    if start[0] != 0 or start[n_trees] != n_nodes:
        return BAD_START, 0
    for t in range(n_trees):
        if start[t + 1] <= start[t] or start[t + 1] > n_nodes:
            return BAD_START, t
        if output[t] < 0 or output[t] + value.shape[1] > n_outputs:
            return BAD_OUTPUT, t
    level = np.full(n_nodes, -1, np.int32)
    for t in range(n_trees):
        first = start[t]
        size = start[t + 1] - first
        level[first] = 0
        deepest = 0
        for i in range(size):
            node = first + i
            if level[node] < 0:
                return NOT_A_TREE, node
            if level[node] > max_depth:
                return TOO_DEEP, node
            if missing[node] > 5:
                return BAD_FLAG, node
            for k in range(value.shape[1]):
                if not np.isfinite(value[node, k]):
                    return BAD_VALUE, node
            if level[node] > deepest:
                deepest = level[node]
            if feature[node] == -1:
                if left[node] != -1 or right[node] != -1:
                    return BAD_CHILD, node
                continue
            if feature[node] < 0 or feature[node] >= n_features:
                return BAD_FEATURE, node
            if np.isnan(threshold[node]):
                return BAD_THRESHOLD, node
            if left[node] <= i or left[node] >= size or right[node] <= i or right[node] >= size:
                return BAD_CHILD, node
            if level[first + left[node]] >= 0 or left[node] == right[node] or level[first + right[node]] >= 0:
                return NOT_A_TREE, node
            level[first + left[node]] = level[node] + 1
            level[first + right[node]] = level[node] + 1
        depth[t] = deepest
    return OK, 0


@njit(cache=True, nogil=True)
def pack_trees(start, feature, threshold, left, right, missing, nodes, cut, flags, place):
    """Lay the nodes out breadth first with siblings side by side, so that a step is ``child + (x > cut)``.

    Fills nodes (N, 2) int32 (feature, first child), cut (N,), flags (N,) and place (N,), where each packed node came
    from. A leaf tests feature 0 against +inf and points to itself, so that walking on from a leaf changes nothing.
    """
    for t in range(start.size - 1):
        first = start[t]
        place[first] = first
        free = first + 1
        for at in range(first, start[t + 1]):
            node = place[at]
            if feature[node] < 0:
                nodes[at, 0] = 0
                nodes[at, 1] = at
                cut[at] = np.inf
                flags[at] = MISSING_LEFT
            else:
                nodes[at, 0] = feature[node]
                nodes[at, 1] = free
                cut[at] = threshold[node]
                flags[at] = missing[node]
                place[free] = first + left[node]
                place[free + 1] = first + right[node]
                free += 2


@njit(inline="always")
def _step_complete(nodes, cut, X, row, at):
    """One step down where no value is missing."""
    return nodes[at, 1] + (X[row, nodes[at, 0]] > cut[at])


@njit(inline="always")
def _step(nodes, cut, flags, X, row, at):
    """One step down with missing values as the flags say."""
    x = X[row, nodes[at, 0]]
    flag = flags[at]
    if np.isnan(x) or (flag & ZERO_IS_MISSING and abs(x) <= ZERO):
        if flag & NAN_IS_ZERO:
            return nodes[at, 1] + (cut[at] < 0.0)
        return nodes[at, 1] + (0 if flag & MISSING_LEFT else 1)
    return nodes[at, 1] + (x > cut[at])


@njit(inline="always")
def _add_rows(start, depth, output, nodes, cut, flags, value, X, simple, first, last, out):
    """Add every tree's value to out[first:last]; ``simple``: no missing value in X and no zero that counts as one."""
    width = value.shape[1]
    for t in range(output.size):
        root = start[t]
        column = output[t]
        for row in range(first, last):
            at = root
            if simple:
                for _ in range(depth[t]):
                    at = _step_complete(nodes, cut, X, row, at)
            else:
                for _ in range(depth[t]):
                    at = _step(nodes, cut, flags, X, row, at)
            for k in range(width):
                out[row, column + k] += value[at, k]


@njit(cache=True, nogil=True)
def add_trees(start, depth, output, nodes, cut, flags, value, X, simple, out):
    """out (n, n_outputs) += the forest's values for X (n, d) float64, on the calling thread."""
    block = 64
    for first in range(0, X.shape[0], block):
        _add_rows(start, depth, output, nodes, cut, flags, value, X, simple, first, min(first + block, X.shape[0]), out)


@njit(cache=True, nogil=True, parallel=True)
def add_trees_parallel(start, depth, output, nodes, cut, flags, value, X, simple, out):
    """``add_trees`` with blocks of rows shared among threads; each row adds its trees in the same order."""
    block = 64
    n_blocks = (X.shape[0] + block - 1) // block
    for b in prange(n_blocks):
        first = b * block
        _add_rows(start, depth, output, nodes, cut, flags, value, X, simple, first, min(first + block, X.shape[0]), out)
