"""The obvious forest: one row, one tree, one node at a time, in plain Python."""

from itertools import combinations
from math import comb

import numpy as np


def goes_left(forest, node, row) -> bool:
    """Where a row goes at a node."""
    x = float(np.float32(row[forest.feature[node]])) if forest.single else float(row[forest.feature[node]])
    flags = int(forest.missing[node])
    if np.isnan(x) and flags & 2:
        x = 0.0
    missing = np.isnan(x) or (flags & 4 and abs(x) <= 1e-35)
    return bool(flags & 1) if missing else bool(x <= forest.threshold[node])


def walk(forest, row) -> np.ndarray:
    """Raw outputs of one row."""
    out = forest.base.astype(float).copy()
    for tree in range(forest.n_trees):
        first = int(forest.start[tree])
        node = first
        while forest.feature[node] >= 0:
            node = first + int(forest.left[node] if goes_left(forest, node, row) else forest.right[node])
        for k, value in enumerate(forest.value[node]):
            total = out[forest.output[tree] + k] + value
            out[forest.output[tree] + k] = np.float32(total) if forest.single_sum else total
    return out


def _grow(nodes, level, rng, n_features, width, flags) -> int:
    """Append a random subtree, parents first; its place."""
    place = len(nodes)
    nodes.append([])
    if level == 0 or rng.random() < 0.2:
        nodes[place] = [-1, 0.0, -1, -1, 0, rng.standard_normal(width), 0.0, rng.random() + 0.1]
        return place
    left = _grow(nodes, level - 1, rng, n_features, width, flags)
    right = _grow(nodes, level - 1, rng, n_features, width, flags)
    cover = nodes[left][7] + nodes[right][7]
    feature, cut = int(rng.integers(n_features)), float(np.float32(rng.standard_normal()))
    nodes[place] = [feature, cut, left, right, int(rng.choice(flags)), np.zeros(width), rng.random(), cover]
    return place


def random_forest(rng, n_trees=5, n_features=3, n_outputs=2, width=1, depth=5, flags=(0, 1)) -> dict:
    """Arguments of a random valid ``Forest``."""
    start, parts = [0], []
    for _ in range(n_trees):
        nodes: list[list] = []
        _grow(nodes, depth, rng, n_features, width, flags)
        parts += nodes
        start.append(len(parts))
    columns = list(zip(*parts))
    return {
        "n_features": n_features,
        "single": bool(rng.integers(2)),
        "single_sum": False,
        "start": np.array(start, np.int64),
        "output": rng.integers(0, n_outputs - width + 1, n_trees).astype(np.int32),
        "feature": np.array(columns[0], np.int32),
        "threshold": np.array(columns[1], np.float64),
        "left": np.array(columns[2], np.int32),
        "right": np.array(columns[3], np.int32),
        "missing": np.array(columns[4], np.uint8),
        "value": np.array(columns[5], np.float64).reshape(len(parts), width),
        "gain": np.array(columns[6], np.float64),
        "cover": np.array(columns[7], np.float64),
        "base": rng.standard_normal(n_outputs),
    }


def expectation(forest, tree, row, known) -> np.ndarray:
    """Mean value of a tree for a row of which only the features in ``known`` are known; the rest by training weight."""
    first = int(forest.start[tree])

    def below(node):
        if forest.feature[node] < 0:
            return forest.value[node]
        left, right = first + int(forest.left[node]), first + int(forest.right[node])
        if forest.feature[node] in known:
            return below(left if goes_left(forest, node, row) else right)
        covers = forest.cover[left], forest.cover[right]
        return (covers[0] * below(left) + covers[1] * below(right)) / sum(covers)

    return below(first)


def shapley(forest, row) -> np.ndarray:
    """(n_features + 1, n_outputs): Shapley values by their definition, over all subsets of the features."""
    out = np.zeros((forest.n_features + 1, forest.n_outputs))
    out[-1] = forest.base
    for tree in range(forest.n_trees):
        columns = slice(forest.output[tree], forest.output[tree] + forest.value.shape[1])
        out[-1, columns] += expectation(forest, tree, row, set())
        for feature in range(forest.n_features):
            others = [f for f in range(forest.n_features) if f != feature]
            for size in range(len(others) + 1):
                share = 1.0 / (forest.n_features * comb(forest.n_features - 1, size))
                for chosen in combinations(others, size):
                    with_it = expectation(forest, tree, row, {*chosen, feature})
                    out[feature, columns] += share * (with_it - expectation(forest, tree, row, set(chosen)))
    return out
