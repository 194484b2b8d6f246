"""The obvious forest: one row, one tree, one node at a time, in plain Python."""

import numpy as np


def walk(forest, row) -> np.ndarray:
    """Raw outputs of one row."""
    out = forest.base.astype(float).copy()
    for tree in range(forest.n_trees):
        first = int(forest.start[tree])
        node = first
        while forest.feature[node] >= 0:
            x = float(np.float32(row[forest.feature[node]])) if forest.single else float(row[forest.feature[node]])
            flags = int(forest.missing[node])
            if np.isnan(x) and flags & 2:
                x = 0.0
            missing = np.isnan(x) or (flags & 4 and abs(x) <= 1e-35)
            left = bool(flags & 1) if missing else x <= forest.threshold[node]
            node = first + int(forest.left[node] if left else forest.right[node])
        for k, value in enumerate(forest.value[node]):
            out[forest.output[tree] + k] += value
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
