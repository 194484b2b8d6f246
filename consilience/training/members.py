"""From the configuration's members to unfitted predictors."""

from typing import Any

from pydantic import ValidationError

from consilience.base import predictor_class
from consilience.base.errors import InvalidInput, nearest
from consilience.ensemble import StackingClassifier
from consilience.training.config import Config, MemberConfig
from consilience.training.problem import build_splitter

_NAMED = ("members", "encoders")  # parameters that are lists of (name, predictor): in a file, names over members


def build_members(config: Config) -> list[tuple[str, Any]]:
    """The members in the order of the configuration, each with the configuration's seed unless it sets its own."""
    folds = build_splitter(config)
    return [(name, build_member(name, member, config.seed, folds)) for name, member in config.members.items()]


def build_ensemble(config: Config, members: list[tuple[str, Any]], folds: Any) -> StackingClassifier:
    """The unfitted stack of these members, as the configuration's ``ensemble`` section has it.

    Raises
    ------
    InvalidInput : a model in it that is none for its place, or a parameter that the model does not have.
    """
    section = config.ensemble
    params = {name: getattr(section, name) for name in type(section).model_fields}
    for place, method in (("regimes", "transform"), ("final_estimator", "predict_proba")):
        member = getattr(section, place)
        if member is None:
            continue
        params[place] = _build(f"ensemble.{place}", member, config.seed, folds)
        if not (hasattr(params[place], method) or (place == "regimes" and member.model == "GaussianHMM")):
            fitting = "a regime model, such as RegimeFeatures" if place == "regimes" else "a classifier"
            raise InvalidInput(f"ensemble.{place}: {member.model} is not {fitting}.")
    return StackingClassifier(members, folds, **params)


def build_member(name: str, member: MemberConfig, seed: int, folds: Any = None) -> Any:
    """One unfitted predictor.

    A parameter that is itself a model is written like a member (``booster: {model: LightGBMClassifier}``), and one that
    is a list of named models as names over members (``encoders: {lstm: {model: LSTMClassifier}}``). A
    model that needs folds of its own (fusion, specialists, an inner stack) gets ``folds``, purged within its training
    rows.

    Raises
    ------
    InvalidInput : a parameter that the model does not have, with the nearest one that it has.
    """
    return _build(f"members.{name}", member, seed, folds)


def _build(where: str, member: MemberConfig, seed: int, folds: Any) -> Any:
    """One unfitted model; ``where`` is its key in the configuration."""
    kind = predictor_class(member.model)
    known = kind._get_param_names()
    params: dict[str, Any] = {}
    for parameter, value in member.params.items():
        if parameter not in known:
            hint = nearest(parameter, known) or f" It has {', '.join(known)}."
            raise InvalidInput(f"{where}.params: {member.model} has no parameter {parameter!r}.{hint}")
        params[parameter] = _built(f"{where}.params.{parameter}", parameter, value, seed, folds)
    if "random_state" in known:
        params.setdefault("random_state", seed)
    if "folds" in known and folds is not None:
        params.setdefault("folds", folds)
    try:
        return kind(**params)
    except TypeError as error:
        missing = str(error).rpartition(": ")[2].replace("'", "")
        raise InvalidInput(f"{where}.params: {member.model} needs {missing}.") from error


def _built(where: str, parameter: str, value: Any, seed: int, folds: Any) -> Any:
    """A parameter's value, with models in it built."""
    if not isinstance(value, dict):
        return value
    if parameter in _NAMED:
        return [(inner, _build(f"{where}.{inner}", _member(where, one), seed, folds)) for inner, one in value.items()]
    return _build(where, _member(where, value), seed, folds) if "model" in value else value


def _member(where: str, value: Any) -> MemberConfig:
    try:
        return MemberConfig.model_validate(value)
    except ValidationError as error:
        raise InvalidInput(f"{where}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
