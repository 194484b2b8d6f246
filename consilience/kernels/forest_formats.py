"""Reading fitted trees into a ``Forest``: XGBoost's JSON, LightGBM's text, scikit-learn's tree objects.

The texts are read by Python's own parsers, never by the libraries' native ones, which damaged bytes can crash.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
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
class _Tree:
    """One tree as its library numbers it; ``left`` and ``right`` are -1 at a leaf."""

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing: np.ndarray
    value: np.ndarray
    gain: np.ndarray
    cover: np.ndarray


def join_trees(
    trees: Sequence[_Tree], output: Any, base: Any, n_features: int, single: bool, single_sum: bool = False
) -> Forest:
    """One validated forest from single trees; ``output[t]`` is where tree t adds its values."""
    sizes = [len(tree.feature) for tree in trees]

    def flat(name: str, dtype: Any) -> np.ndarray:
        return np.concatenate([getattr(tree, name) for tree in trees]).astype(dtype, copy=False)

    feature, left = flat("feature", np.int32), flat("left", np.int32)
    leaf = left < 0
    value = flat("value", np.float64)
    value = value.reshape(len(feature), -1)
    value[~leaf] = 0.0
    return Forest(
        n_features=n_features,
        single=single,
        single_sum=single_sum,
        start=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        output=np.asarray(output, dtype=np.int32),
        feature=np.where(leaf, np.int32(-1), feature),
        threshold=np.where(leaf, 0.0, flat("threshold", np.float64)),
        left=left,
        right=np.where(leaf, np.int32(-1), flat("right", np.int32)),
        missing=np.where(leaf, np.uint8(0), flat("missing", np.uint8)),
        value=value,
        gain=np.where(leaf, 0.0, flat("gain", np.float64)),
        cover=flat("cover", np.float64),
        base=np.atleast_1d(np.asarray(base, dtype=np.float64)),
    )


# -- XGBoost -----------------------------------------------------------------------------------------------------------


def read_xgboost(text: str | bytes | bytearray) -> NativeForest:
    """The forest of an XGBoost model in JSON (``booster.save_raw("json")`` or ``save_model("model.json")``).

    Raises
    ------
    InvalidState : text that is no such model, categorical splits, vector leaves, or an objective not listed here.
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
    trees = [_xgboost_tree(tree, position) for position, tree in enumerate(model["trees"])]
    if weights is not None:
        for tree, weight in zip(trees, weights, strict=True):
            tree.value = tree.value * weight
    forest = join_trees(trees, model["tree_info"], base, int(params["num_feature"]), single=True, single_sum=True)
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


def _xgboost_tree(tree: dict[str, Any], position: int) -> _Tree:
    left = np.asarray(tree["left_children"], dtype=np.int32)
    right = np.asarray(tree["right_children"], dtype=np.int32)
    condition = np.asarray(tree["split_conditions"], dtype=np.float32)
    inner = left >= 0
    if np.asarray(tree["split_type"], dtype=np.int64)[inner].any():
        raise InvalidState(f"Tree {position} has a categorical split, which the forest does not support.")
    if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise InvalidState(f"Tree {position} has vector leaves (multi_strategy), which the forest does not support.")
    return _Tree(
        feature=np.asarray(tree["split_indices"], dtype=np.int32),
        # XGBoost goes left when x < t; for float32 numbers that is x <= the number just below t.
        threshold=np.nextafter(condition, np.float32(-np.inf)),
        left=left,
        right=right,
        missing=np.asarray(tree["default_left"], dtype=np.uint8),  # 1 is MISSING_LEFT
        value=condition,
        gain=np.asarray(tree["loss_changes"], dtype=np.float64),
        cover=np.maximum(np.asarray(tree["sum_hessian"], dtype=np.float64), 0.0),
    )


# -- LightGBM ----------------------------------------------------------------------------------------------------------


def read_lightgbm(text: str) -> NativeForest:
    """The forest of a LightGBM model in text (``booster.model_to_string()`` or ``save_model("model.txt")``).

    Raises
    ------
    InvalidState : text that is no such model, categorical splits, linear leaves, or an objective not listed here.
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
    trees = [_lightgbm_tree(_fields(block.partition("\n")[2]), position) for position, block in enumerate(blocks)]
    base = np.zeros(n_outputs)
    if "average_output" in head.split("\n"):  # boosting_type="rf"
        for tree in trees:
            tree.value = tree.value * (n_outputs / len(trees))
    output = np.arange(len(trees)) % n_outputs
    forest = join_trees(trees, output, base, int(header["max_feature_idx"]) + 1, single=False)
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


def _lightgbm_tree(fields: dict[str, str], position: int) -> _Tree:
    if int(fields["num_cat"]):
        raise InvalidState(f"Tree {position} has a categorical split, which the forest does not support.")
    if int(fields.get("is_linear", "0")):
        raise InvalidState(f"Tree {position} has linear leaves, which the forest does not support.")
    n_leaves = int(fields["num_leaves"])
    n_inner = n_leaves - 1

    def numbers(name: str, size: int, dtype: Any = np.float64) -> np.ndarray:
        text = fields[name].split() if size else []
        if len(text) != size:
            raise InvalidState(f"Tree {position} has {len(text)} numbers in {name!r} instead of {size}.")
        return np.array(text, dtype=dtype)

    def with_leaves(inner: np.ndarray, leaves: Any = 0) -> np.ndarray:
        return np.concatenate([inner, np.broadcast_to(leaves, n_leaves)])

    def children(name: str) -> np.ndarray:
        # A leaf k is written as ~k; leaves are placed behind the inner nodes.
        child = numbers(name, n_inner, np.int64)
        return with_leaves(np.where(child >= 0, child, n_inner + ~child), -1)

    decision = numbers("decision_type", n_inner, np.int64)
    leaf_cover = numbers("leaf_count", n_leaves) if n_inner else np.zeros(1)
    return _Tree(
        feature=with_leaves(numbers("split_feature", n_inner, np.int64)),
        threshold=with_leaves(numbers("threshold", n_inner)),
        left=children("left_child"),
        right=children("right_child"),
        missing=with_leaves(_missing_flags(decision)),
        value=np.concatenate([np.zeros(n_inner), numbers("leaf_value", n_leaves)]),
        gain=with_leaves(np.maximum(numbers("split_gain", n_inner), 0.0)),
        cover=with_leaves(numbers("internal_count", n_inner), leaf_cover),
    )


def _missing_flags(decision: np.ndarray) -> np.ndarray:
    """LightGBM's decision_type: bit 1 default left, bits 2-3 the kind of missing value (0 none, 1 zero, 2 NaN)."""
    kind = (decision >> 2) & 3
    flags = np.where(decision & 2, _forest.MISSING_LEFT, 0)
    flags = np.where(kind == 0, _forest.NAN_IS_ZERO, flags)
    return np.where(kind == 1, flags | _forest.ZERO_IS_MISSING, flags)


# -- scikit-learn ------------------------------------------------------------------------------------------------------


def read_sklearn(estimators: Sequence[Any], n_outputs: int) -> Forest:
    """The forest of scikit-learn's fitted trees (``RandomForestClassifier.estimators_``): the mean over the trees."""
    share = 1.0 / len(estimators)
    trees = [_sklearn_tree(estimator.tree_, share) for estimator in estimators]
    n_features = int(estimators[0].tree_.n_features)
    return join_trees(trees, np.zeros(len(trees)), np.zeros(n_outputs), n_features, single=True)


def _sklearn_tree(tree: Any, share: float) -> _Tree:
    left, right = tree.children_left.astype(np.int32), tree.children_right.astype(np.int32)
    inner = left >= 0
    mass = tree.weighted_n_node_samples
    weighted = mass * tree.impurity
    gain = np.where(inner, weighted - weighted[left] - weighted[right], 0.0)
    value = tree.value[:, 0, :]
    if value.shape[1] > 1:
        value = value / value.sum(axis=1, keepdims=True)
    return _Tree(
        feature=tree.feature,
        threshold=tree.threshold,
        left=left,
        right=right,
        missing=tree.missing_go_to_left.astype(np.uint8),
        value=value * share,
        gain=np.maximum(gain, 0.0) / mass[0],
        cover=mass,
    )
