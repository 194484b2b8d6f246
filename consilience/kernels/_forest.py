"""Numba code of the forest: check the structure, lay the nodes out for speed, add up the trees. Arrays in, arrays out.

A forest is T trees in flat arrays over all N nodes; tree t owns the nodes ``start[t]`` to ``start[t + 1]`` and
``left`` and ``right`` count from ``start[t]``. A leaf has feature -1.
"""
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

import numpy as np
from numba import njit

MISSING_LEFT = 1  # NaN (and zero, with ZERO_IS_MISSING) goes left
NAN_IS_ZERO = 2  # NaN is read as 0.0 (a feature that had no missing value when LightGBM was fitted)
ZERO_IS_MISSING = 4  # |x| <= 1e-35 is missing too (LightGBM's zero_as_missing)
ZERO = 1e-35
BLOCK = 64  # rows at a time through all trees
TOGETHER = 8  # trees at a time that a lone row is walked through

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
        if output[t] < 0 or output[t] > n_outputs - value.shape[1]:
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


@njit(cache=True, nogil=True, inline="always")
def _step(node, cut, flag, x):
    """One step down from a node (feature, first child) for the value x, with missing values as the flag says."""
    if np.isnan(x) or (flag & ZERO_IS_MISSING and abs(x) <= ZERO):
        if flag & NAN_IS_ZERO:
            return node[1] + np.int32(cut < 0.0)
        return node[1] + np.int32(0 if flag & MISSING_LEFT else 1)
    return node[1] + np.int32(x > cut)


@njit(cache=True, nogil=True)
def _leaves(start, depth, nodes, cut, x, first, leaves):
    """The leaves (8,) that a row x (d,) without missing values falls into in eight trees from ``first`` on.

    Each step of a tree waits for the one before, so eight trees are walked side by side, as deep as the deepest: a leaf
    leads to itself.
    """
    a, b, c, d = start[first], start[first + 1], start[first + 2], start[first + 3]
    e, f, g, h = start[first + 4], start[first + 5], start[first + 6], start[first + 7]
    steps = depth[first]
    for t in range(first + 1, first + TOGETHER):
        steps = max(steps, depth[t])
    for _ in range(steps):
        a = nodes[a, 1] + (x[nodes[a, 0]] > cut[a])
        b = nodes[b, 1] + (x[nodes[b, 0]] > cut[b])
        c = nodes[c, 1] + (x[nodes[c, 0]] > cut[c])
        d = nodes[d, 1] + (x[nodes[d, 0]] > cut[d])
        e = nodes[e, 1] + (x[nodes[e, 0]] > cut[e])
        f = nodes[f, 1] + (x[nodes[f, 0]] > cut[f])
        g = nodes[g, 1] + (x[nodes[g, 0]] > cut[g])
        h = nodes[h, 1] + (x[nodes[h, 0]] > cut[h])
    leaves[0], leaves[1], leaves[2], leaves[3] = a, b, c, d
    leaves[4], leaves[5], leaves[6], leaves[7] = e, f, g, h


@njit(cache=True, nogil=True)
def _add_row(start, depth, output, nodes, cut, flags, value, x, simple, single_sum, leaves, out):
    """out (n_outputs,) += every tree's value for one row x (d,); leaves (8,) for own use."""
    together = output.size // TOGETHER * TOGETHER if simple else 0
    for t in range(output.size):
        if t < together:
            if t % TOGETHER == 0:
                _leaves(start, depth, nodes, cut, x, t, leaves)
            at = leaves[t % TOGETHER]
        else:
            at = start[t]
            for _ in range(depth[t]):
                at = np.int64(_step(nodes[at], cut[at], flags[at], x[nodes[at, 0]]))
        for k in range(value.shape[1]):
            total = out[output[t] + k] + value[at, k]
            out[output[t] + k] = np.float64(np.float32(total)) if single_sum else total


@njit(cache=True, nogil=True)
def _add_block(start, depth, output, nodes, cut, flags, value, columns, at, simple, single_sum, sums):
    """sums (n_outputs, BLOCK) += every tree's value for a block of rows, given as columns (d, BLOCK).

    All rows take one step before any takes the next: their steps do not wait for each other, and the first one, which
    looks at the same feature in every row, is one vector comparison. This is three times as fast as row after row.
    """
    for t in range(output.size):
        root = start[t]
        if simple:
            # Read once: the compiler must assume that writing to ``at`` may change ``nodes``.
            own_column, child, threshold = columns[nodes[root, 0]], nodes[root, 1], cut[root]
            for r in range(BLOCK):
                at[r] = child + np.int32(own_column[r] > threshold)
            for _ in range(depth[t] - 1):
                for r in range(BLOCK):
                    node = at[r]
                    at[r] = nodes[node, 1] + np.int32(columns[nodes[node, 0], r] > cut[node])
        else:
            at[:] = root
            for _ in range(depth[t]):
                for r in range(BLOCK):
                    node = at[r]
                    at[r] = _step(nodes[node], cut[node], flags[node], columns[nodes[node, 0], r])
        for k in range(value.shape[1]):
            own = sums[output[t] + k]
            for r in range(BLOCK):
                total = own[r] + value[at[r], k]
                own[r] = np.float64(np.float32(total)) if single_sum else total


@njit(cache=True, nogil=True)
def add_trees(start, depth, output, nodes, cut, flags, value, X, simple, single_sum, out):
    """out (n, n_outputs) += the forest's values for X (n, d) float64.

    ``simple``: no missing value in X and no zero that counts as one. ``single_sum`` rounds to float32 after every tree:
    that is XGBoost's sum, and 300 roundings in another order or none at all would be 1e-5 away from it.
    """
    n_rows, n_features = X.shape
    whole = n_rows // BLOCK * BLOCK
    columns = np.empty((n_features, BLOCK if whole else 0))
    sums = np.empty((out.shape[1], BLOCK if whole else 0))
    at = np.empty(BLOCK if whole else 0, np.int32)
    for first in range(0, whole, BLOCK):
        for r in range(BLOCK):
            for j in range(n_features):
                columns[j, r] = X[first + r, j]
            for k in range(out.shape[1]):
                sums[k, r] = out[first + r, k]
        _add_block(start, depth, output, nodes, cut, flags, value, columns, at, simple, single_sum, sums)
        for r in range(BLOCK):
            for k in range(out.shape[1]):
                out[first + r, k] = sums[k, r]
    leaves = np.empty(TOGETHER, np.int64)
    for row in range(whole, n_rows):
        _add_row(start, depth, output, nodes, cut, flags, value, X[row], simple, single_sum, leaves, out[row])


@njit(cache=True, nogil=True)
def add_contributions(start, depth, output, nodes, cut, flags, value, cover, X, out):
    """out (n, d + 1, n_outputs) += each feature's Shapley value in each row, and the mean output in the last place.

    Path-dependent TreeSHAP (Lundberg, Erion & Lee 2018, algorithm 2), leaf by leaf: what a leaf gives to a feature
    depends only on the features on its path, on the share of training weight that each lets through (zero) and on
    whether the row itself passes (one).
    """
    n_rows, n_features = X.shape
    longest = depth.max() + 1
    pending = np.empty((longest + 1, 3), np.int64)  # node, level, whether the row takes the step into it
    pending_share = np.empty(longest + 1)
    path_feature = np.empty(longest, np.int64)
    path_share = np.empty(longest)
    path_taken = np.empty(longest, np.bool_)
    slot = np.full(n_features, -1, np.int64)
    own = np.empty(longest, np.int64)
    zero = np.empty(longest)
    one = np.empty(longest)
    weight = np.empty(longest + 1)
    parent_feature = np.empty(longest + 1, np.int64)
    for row in range(n_rows):
        for t in range(output.size):
            pending[0, 0] = start[t]
            pending[0, 1] = 0
            pending_share[0] = 1.0
            n_pending = 1
            while n_pending > 0:
                n_pending -= 1
                at, level = pending[n_pending, 0], pending[n_pending, 1]
                if level > 0:
                    path_feature[level - 1] = parent_feature[n_pending]
                    path_share[level - 1] = pending_share[n_pending]
                    path_taken[level - 1] = pending[n_pending, 2] == 1
                child = nodes[at, 1]
                if child != at:
                    taken = _step(nodes[at], cut[at], flags[at], X[row, nodes[at, 0]])
                    both = cover[child] + cover[child + 1]
                    for side in range(2):
                        pending[n_pending, 0] = child + side
                        pending[n_pending, 1] = level + 1
                        pending[n_pending, 2] = child + side == taken
                        pending_share[n_pending] = cover[child + side] / both if both > 0 else 0.5
                        parent_feature[n_pending] = nodes[at, 0]
                        n_pending += 1
                    continue
                n_own = _merge_path(path_feature, path_share, path_taken, level, slot, own, zero, one)
                mean = _extend_all(zero, one, n_own, weight)
                for k in range(value.shape[1]):
                    out[row, n_features, output[t] + k] += mean * value[at, k]
                for i in range(n_own):
                    part = _unwound_sum(zero[i], one[i], n_own, weight) * (one[i] - zero[i])
                    for k in range(value.shape[1]):
                        out[row, own[i], output[t] + k] += part * value[at, k]


@njit(cache=True, nogil=True)
def _merge_path(path_feature, path_share, path_taken, level, slot, own, zero, one):
    """One entry per feature on the path: shares multiply, and the row passes if it passes at every node."""
    n_own = 0
    for k in range(level):
        feature = path_feature[k]
        if slot[feature] < 0:
            slot[feature] = n_own
            own[n_own] = feature
            zero[n_own] = 1.0
            one[n_own] = 1.0
            n_own += 1
        at = slot[feature]
        zero[at] *= path_share[k]
        if not path_taken[k]:
            one[at] = 0.0
    for k in range(n_own):
        slot[own[k]] = -1
    return n_own


@njit(cache=True, nogil=True)
def _extend_all(zero, one, n_own, weight):
    """Fill weight (n_own + 1), the share of orderings with k of the path's features known; returns zero's product."""
    mean = 1.0
    weight[0] = 1.0
    for i in range(n_own):
        mean *= zero[i]
        size = i + 2
        weight[i + 1] = one[i] * weight[i] * (i + 1) / size
        for j in range(i, 0, -1):
            weight[j] = zero[i] * weight[j] * (i + 1 - j) / size + one[i] * weight[j - 1] * j / size
        weight[0] = zero[i] * weight[0] * (i + 1) / size
    return mean


@njit(cache=True, nogil=True)
def _unwound_sum(zero, one, n_own, weight):
    """The sum of the weights as they would be without a feature of these shares."""
    size = n_own + 1
    total = 0.0
    if one != 0.0:
        after = weight[n_own]
        for j in range(n_own - 1, -1, -1):
            before = after * size / (j + 1)
            total += before
            after = weight[j] - before * zero * (n_own - j) / size
    elif zero != 0.0:
        for j in range(n_own):
            total += weight[j] * size / (zero * (n_own - j))
    return total
