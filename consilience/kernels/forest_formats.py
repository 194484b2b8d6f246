"""Reading fitted trees into a ``Forest``: XGBoost's JSON, LightGBM's text, scikit-learn's tree objects.

The texts are read by Python's own parsers, never by the libraries' native ones, which damaged bytes can crash.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from consilience.base import InvalidState
from consilience.kernels import _forest
from consilience.kernels.forest import Forest

_SAME_MARGIN = (
    "reg:squarederror",
    "reg:absoluteerror",
    "reg:quantileerror",
    "reg:pseudohubererror",
    "multi:softprob",
    "multi:softmax",
)
_LIGHTGBM_OBJECTIVES = ("regression", "regression_l1", "huber", "fair", "quantile", "mape", "binary", "multiclass")


@dataclass(frozen=True)
class NativeForest:
    """What a library's model file holds: the trees, the objective's name, and the feature names if it has any."""

    forest: Forest
    objective: str
    feature_names: tuple[str, ...]


@dataclass
class _Nodes:
    """The nodes of all trees one after another, numbered within each tree; ``left`` and ``right`` are -1 at a leaf."""

    sizes: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing: np.ndarray
    value: np.ndarray
    gain: np.ndarray
    cover: np.ndarray


def join_trees(
    nodes: _Nodes, output: Any, base: Any, n_features: int, single: bool, single_sum: bool = False
) -> Forest:
    """One validated forest from the nodes of its trees; ``output[t]`` is where tree t adds its values."""
    for name in ("feature", "left", "right"):
        if np.abs(getattr(nodes, name)).max(initial=0) > np.iinfo(np.int32).max:
            raise InvalidState(f"The trees' {name!r} holds a number beyond 32 bits.")
    leaf = nodes.left < 0
    value = np.asarray(nodes.value, dtype=np.float64).reshape(len(leaf), -1)
    return Forest(
        n_features=n_features,
        single=single,
        single_sum=single_sum,
        start=np.concatenate([[0], np.cumsum(nodes.sizes)]).astype(np.int64),
        output=np.asarray(output, dtype=np.int32),
        feature=np.where(leaf, -1, nodes.feature).astype(np.int32),
        threshold=np.where(leaf, 0.0, nodes.threshold).astype(np.float64),
        left=nodes.left.astype(np.int32),
        right=np.where(leaf, -1, nodes.right).astype(np.int32),
        missing=np.where(leaf, 0, nodes.missing).astype(np.uint8),
        value=np.where(leaf[:, None], value, 0.0),
        gain=np.where(leaf, 0.0, nodes.gain).astype(np.float64),
        cover=np.asarray(nodes.cover, dtype=np.float64),
        base=np.atleast_1d(np.asarray(base, dtype=np.float64)),
    )


# -- XGBoost -----------------------------------------------------------------------------------------------------------


def read_xgboost(text: str | bytes | bytearray) -> NativeForest:
    """The forest of an XGBoost model in JSON (``booster.save_raw("json")`` or ``save_model("model.json")``).

    Raises
    ------
    InvalidState : text that is no such model, categorical splits, vector leaves, or an objective not listed here.

    References
    ----------
    XGBoost's documentation, "Introduction to Model IO": the JSON schema.

    Examples
    --------
    >>> import numpy as np, xgboost
    >>> X = np.arange(20.0)[:, None]
    >>> booster = xgboost.train({"max_depth": 1}, xgboost.DMatrix(X, X[:, 0] > 9), num_boost_round=1)
    >>> native = read_xgboost(booster.save_raw("json"))
    >>> native.objective, native.forest.raw(X[[0, 19]]).round(2).tolist()
    ('reg:squarederror', [[0.36], [0.64]])
    """
    try:
        return _xgboost(json.loads(text)["learner"])
    except InvalidState:
        raise
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, RecursionError, AttributeError) as error:
        raise InvalidState(f"This is not an XGBoost model in JSON ({type(error).__name__}: {error}).") from error


def _xgboost(learner: dict[str, Any]) -> NativeForest:
    objective = learner["objective"]["name"]
    booster = learner["gradient_booster"]
    weights = None
    if booster["name"] == "dart":
        weights = np.asarray(booster["weight_drop"], dtype=np.float64)
        booster = booster["gbtree"]
    model = booster["model"]
    params = learner["learner_model_param"]
    n_outputs = max(int(params["num_class"]), int(params.get("num_target", 1)), 1)
    base = np.broadcast_to(_margin(objective, _numbers(params["base_score"])), n_outputs)
    nodes = _xgboost_nodes(model["trees"])
    if weights is not None:
        nodes.value = nodes.value * np.repeat(weights, nodes.sizes)
    forest = join_trees(nodes, model["tree_info"], base, int(params["num_feature"]), single=True, single_sum=True)
    return NativeForest(forest, objective, tuple(learner.get("feature_names") or ()))


def _numbers(text: str) -> np.ndarray:
    """XGBoost writes the base score as "5E-1" or, since release 3, as "[5E-1]"."""
    return np.array([float(part) for part in text.strip("[]").split(",")], dtype=np.float32).astype(np.float64)


def _margin(objective: str, base: np.ndarray) -> np.ndarray:
    if objective in _SAME_MARGIN:
        return base
    if objective == "binary:logistic":
        single = base.astype(np.float32)  # XGBoost takes this logarithm in float32
        return np.asarray(-np.log(np.float32(1) / single - np.float32(1)), dtype=np.float64)
    raise InvalidState(
        f"XGBoost's objective {objective!r} is not supported; these are: binary:logistic, {', '.join(_SAME_MARGIN)}."
    )


def _xgboost_nodes(trees: list[dict[str, Any]]) -> _Nodes:
    sizes = np.array([len(tree["left_children"]) for tree in trees], dtype=np.int64)

    def numbers(name: str, dtype: Any) -> np.ndarray:
        # One conversion for all trees: 300 small ones would cost a tenth of a fit.
        for position, (tree, size) in enumerate(zip(trees, sizes)):
            if len(tree[name]) != size:
                raise InvalidState(f"Tree {position} has {len(tree[name])} numbers in {name!r} instead of {size}.")
        return np.array(list(chain.from_iterable(tree[name] for tree in trees)), dtype=dtype)

    left = numbers("left_children", np.int32)
    condition = numbers("split_conditions", np.float32)
    categorical = (left >= 0) & (numbers("split_type", np.int32) != 0)
    if categorical.any():
        position = int(np.searchsorted(np.cumsum(sizes), np.argmax(categorical), side="right"))
        raise InvalidState(f"Tree {position} has a categorical split, which the forest does not support.")
    for position, tree in enumerate(trees):
        if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
            what = "vector leaves (multi_strategy)"
            raise InvalidState(f"Tree {position} has {what}, which the forest does not support.")
    return _Nodes(
        sizes=sizes,
        feature=numbers("split_indices", np.int32),
        # XGBoost goes left when x < t; for float32 numbers that is x <= the number just below t.
        threshold=np.nextafter(condition, np.float32(-np.inf)),
        left=left,
        right=numbers("right_children", np.int32),
        missing=numbers("default_left", np.uint8),  # 1 is MISSING_LEFT
        value=condition,
        gain=numbers("loss_changes", np.float64),
        cover=np.maximum(numbers("sum_hessian", np.float64), 0.0),
    )


# -- LightGBM ----------------------------------------------------------------------------------------------------------


def read_lightgbm(text: str) -> NativeForest:
    """The forest of a LightGBM model in text (``booster.model_to_string()`` or ``save_model("model.txt")``).

    Raises
    ------
    InvalidState : text that is no such model, categorical splits, linear leaves, or an objective not listed here.

    References
    ----------
    The text is LightGBM's ``GBDT::SaveModelToString``; decision types are explained in its ``include/LightGBM/tree.h``.

    Examples
    --------
    >>> import lightgbm, numpy as np
    >>> X = np.arange(60.0)[:, None]
    >>> booster = lightgbm.train({"verbose": -1, "num_leaves": 2}, lightgbm.Dataset(X, X[:, 0] > 29), num_boost_round=1)
    >>> native = read_lightgbm(booster.model_to_string())
    >>> native.objective, native.forest.raw(X[[0, 59]]).round(2).tolist()
    ('regression', [[0.45], [0.55]])
    """
    try:
        return _lightgbm(text)
    except InvalidState:
        raise
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError) as error:
        raise InvalidState(f"This is not a LightGBM model in text ({type(error).__name__}: {error}).") from error


def _lightgbm(text: str) -> NativeForest:
    body = text.split("end of trees", 1)[0]
    head, *blocks = body.split("\nTree=")
    header = _fields(head)
    objective, *options = header["objective"].split()
    _check_lightgbm_objective(objective, options)
    n_outputs = int(header["num_tree_per_iteration"])
    nodes = _lightgbm_nodes([_fields(block.partition("\n")[2]) for block in blocks])
    base = np.zeros(n_outputs)
    if "average_output" in head.split("\n"):  # boosting_type="rf"
        nodes.value = nodes.value * (n_outputs / len(blocks))
    output = np.arange(len(blocks)) % n_outputs
    forest = join_trees(nodes, output, base, int(header["max_feature_idx"]) + 1, single=False)
    return NativeForest(forest, objective, tuple(header["feature_names"].split()))


def _check_lightgbm_objective(objective: str, options: list[str]) -> None:
    if objective not in _LIGHTGBM_OBJECTIVES or "sqrt" in options:
        shown = " ".join([objective, *options])
        raise InvalidState(
            f"LightGBM's objective {shown!r} is not supported; these are: {', '.join(_LIGHTGBM_OBJECTIVES)}."
        )
    if objective == "binary" and "sigmoid:1" not in options:
        raise InvalidState("LightGBM's binary objective is supported with sigmoid=1 only.")


def _fields(block: str) -> dict[str, str]:
    return {key: value for key, found, value in (line.partition("=") for line in block.split("\n")) if found}


def _lightgbm_nodes(trees: list[dict[str, str]]) -> _Nodes:
    for position, tree in enumerate(trees):
        if int(tree["num_cat"]):
            raise InvalidState(f"Tree {position} has a categorical split, which the forest does not support.")
        if int(tree.get("is_linear", "0")):
            raise InvalidState(f"Tree {position} has linear leaves, which the forest does not support.")
    n_leaves = np.array([int(tree["num_leaves"]) for tree in trees], dtype=np.int64)
    if (n_leaves < 1).any():
        raise InvalidState(f"Tree {int(np.argmax(n_leaves < 1))} has no leaf.")
    n_inner = n_leaves - 1
    sizes = n_leaves + n_inner
    # In each tree the inner nodes come first and then the leaves.
    leaf = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes) >= np.repeat(n_inner, sizes)

    def numbers(name: str, counts: np.ndarray, dtype: Any = np.float64) -> np.ndarray:
        texts: list[str] = []
        for position, (tree, count) in enumerate(zip(trees, counts)):
            # A tree that is one leaf writes no inner nodes, and not how many rows it holds.
            found = tree[name].split() if count else []
            if len(found) != count:
                raise InvalidState(f"Tree {position} has {len(found)} numbers in {name!r} instead of {count}.")
            texts += found
        return np.array(texts, dtype=dtype)

    def placed(inner: np.ndarray, leaves: Any) -> np.ndarray:
        both = np.empty(len(leaf), dtype=inner.dtype)
        both[~leaf], both[leaf] = inner, leaves
        return both

    def children(name: str) -> np.ndarray:
        # A leaf k is written as ~k.
        child = numbers(name, n_inner, np.int64)
        return placed(np.where(child >= 0, child, np.repeat(n_inner, n_inner) + ~child), -1)

    grown = n_inner > 0
    leaf_cover = np.zeros(n_leaves.sum())
    leaf_cover[np.repeat(grown, n_leaves)] = numbers("leaf_count", np.where(grown, n_leaves, 0))
    return _Nodes(
        sizes=sizes,
        feature=placed(numbers("split_feature", n_inner, np.int64), -1),
        threshold=placed(numbers("threshold", n_inner), 0.0),
        left=children("left_child"),
        right=children("right_child"),
        missing=placed(_missing_flags(numbers("decision_type", n_inner, np.int64)), 0),
        value=placed(np.zeros(n_inner.sum()), numbers("leaf_value", n_leaves)),
        gain=placed(np.maximum(numbers("split_gain", n_inner), 0.0), 0.0),
        cover=placed(numbers("internal_count", n_inner), leaf_cover),
    )


def _missing_flags(decision: np.ndarray) -> np.ndarray:
    """LightGBM's decision_type: bit 1 default left, bits 2-3 the kind of missing value (0 none, 1 zero, 2 NaN)."""
    kind = (decision >> 2) & 3
    flags = np.where(decision & 2, _forest.MISSING_LEFT, 0)
    flags = np.where(kind == 0, _forest.NAN_IS_ZERO, flags)
    return np.where(kind == 1, flags | _forest.ZERO_IS_MISSING, flags)


# -- scikit-learn ------------------------------------------------------------------------------------------------------


def read_sklearn(estimators: Sequence[Any], n_outputs: int) -> Forest:
    """The forest of scikit-learn's fitted trees: the mean over the trees.

    Parameters
    ----------
    estimators : fitted trees (``RandomForestClassifier.estimators_``).
    n_outputs : classes, or 1 for regression.

    References
    ----------
    scikit-learn's "Understanding the decision tree structure": the arrays of ``tree_``.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> model = RandomForestClassifier(5, random_state=0).fit([[0.0], [1.0], [8.0], [9.0]], [0, 0, 1, 1])
    >>> read_sklearn(model.estimators_, n_outputs=2).raw([[8.5]]).tolist() == model.predict_proba([[8.5]]).tolist()
    True
    """
    trees = [_sklearn_tree(estimator.tree_, 1.0 / len(estimators)) for estimator in estimators]
    sizes = np.array([len(tree["left"]) for tree in trees])
    nodes = _Nodes(sizes=sizes, **{name: np.concatenate([tree[name] for tree in trees]) for name in trees[0]})
    n_features = int(estimators[0].tree_.n_features)
    return join_trees(nodes, np.zeros(len(trees)), np.zeros(n_outputs), n_features, single=True)


def _sklearn_tree(tree: Any, share: float) -> dict[str, np.ndarray]:
    left, right = tree.children_left, tree.children_right
    inner = left >= 0
    mass = tree.weighted_n_node_samples
    weighted = mass * tree.impurity
    gain = np.where(inner, weighted - weighted[left] - weighted[right], 0.0)
    value = tree.value[:, 0, :]
    if value.shape[1] > 1:
        value = value / value.sum(axis=1, keepdims=True)
    return {
        "feature": tree.feature,
        "threshold": tree.threshold,
        "left": left,
        "right": right,
        "missing": tree.missing_go_to_left,
        "value": value * share,
        "gain": np.maximum(gain, 0.0) / mass[0],
        "cover": mass,
    }
