"""Which number a new version must at least get, and what its changelog says: both follow from what differs.

*major*: whoever feeds the model or reads its output must change something (schema, horizon, label meaning, class
order, units). *minor*: another model (learner, features, members, hyper-parameters) behind the same contract. *patch*:
the same recipe fitted again, on new data or with another seed.
"""

from collections.abc import Iterator
from typing import Any

from consilience.base import State, invalid
from consilience.registry.errors import Refused
from consilience.registry.names import Number
from consilience.registry.version import Version

LEVELS = ("patch", "minor", "major")

_FEATURES = frozenset(
    {"features", "feature_spec", "feature_names", "feature_hash"}
)  # parts of a contract that may grow
_INCIDENTAL = frozenset(
    {"random_state", "seed", "n_jobs", "verbose", "verbosity", "progress"}
)  # no other model by these


def recipe(state: State) -> dict[str, Any]:
    """What defines a model apart from what it learnt: class, parameters, features, members."""
    params = state.spec.get("params", {})
    own: dict[str, Any] = {"class": state.kind, "params": params}
    if state.spec.get("feature_names_in") is not None:
        own["features"] = state.spec["feature_names_in"]
    elif "n_features_in" in state.spec:
        own["features"] = state.spec["n_features_in"]
    if state.children:
        own["members"] = {name: recipe(child) for name, child in state.children.items()}
    return own


def full_contract(state: State, contract: dict[str, Any] | None) -> dict[str, Any]:
    """The contract as given, and the order of the classes, which the model itself knows."""
    classes = state.spec.get("classes")
    known = {} if classes is None else {"classes": classes["values"]}
    return known | (contract or {})


def least_level(old: Version, contract: dict[str, Any], config: dict[str, Any]) -> str:
    """``"major"``, ``"minor"`` or ``"patch"``."""
    differing = {key for key in old.contract.keys() | contract.keys() if old.contract.get(key) != contract.get(key)}
    if differing - _FEATURES or _is_classifier(old.config) != _is_classifier(config):
        return "major"
    if differing or any(not _incidental(path) for path, _, _ in differences(old.config, config)):
        return "minor"
    return "patch"


def next_number(old: Version | None, least: str, asked: str | None) -> Number:
    """The number to give.

    Parameters
    ----------
    asked : None, a level (``"minor"``), or a number; one lower than the difference requires is refused.
    """
    if old is None:
        return Number.parse(asked) if asked and asked not in LEVELS else Number(1, 0, 0)
    required = old.key.bumped(least)
    if asked is None:
        return required
    wanted = old.key.bumped(asked) if asked in LEVELS else Number.parse(asked)
    if wanted < required:
        raise Refused(
            f"{old.name}: what differs from {old.number} makes this a {least} version, {required} or higher; "
            f"{asked} is too low."
        )
    return wanted


def changelog(old: Version | None, contract: dict[str, Any], config: dict[str, Any], data: Any) -> tuple[str, ...]:
    """One line per difference from the version before."""
    if old is None:
        return ("first version",)
    lines = [_sentence("contract", *found) for found in differences(old.contract, contract)]
    lines += [_sentence("model", *found) for found in differences(old.config, config)]
    if data is not None and old.lineage.get("data") != data:
        lines.append("fitted on other data")
    return tuple(lines) if lines else ("fitted again",)


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every leaf that differs, as (path, old value, new value); None stands for absent."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif old != new:
        yield path, old, new


def _sentence(what: str, path: str, old: Any, new: Any) -> str:
    return f"{what}: {path} {_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    text = "(none)" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _incidental(path: str) -> bool:
    return path.rsplit(".", 1)[-1] in _INCIDENTAL


def _is_classifier(config: dict[str, Any]) -> bool:
    return not str(config.get("class", "")).endswith("Regressor")


def check_level(asked: str | None) -> None:
    """Refuse a word that is neither a level nor a number."""
    if asked is not None and asked not in LEVELS and not asked[:1].isdigit():
        raise invalid("number", "publish", "a number such as 1.2.0 or one of patch, minor, major", asked)
