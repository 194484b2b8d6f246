"""From the configuration's members to unfitted predictors."""

from typing import Any

from consilience.base import predictor_class
from consilience.base.errors import InvalidInput, nearest
from consilience.training.config import Config, MemberConfig


def build_members(config: Config) -> list[tuple[str, Any]]:
    """The members in the order of the configuration, each with the configuration's seed unless it sets its own."""
    return [(name, build_member(name, member, config.seed)) for name, member in config.members.items()]


def build_member(name: str, member: MemberConfig, seed: int) -> Any:
    """One unfitted predictor.

    Raises
    ------
    InvalidInput : a parameter that the model does not have, with the nearest one that it has.
    """
    kind = predictor_class(member.model)
    known = kind._get_param_names()
    params = dict(member.params)
    for parameter in params:
        if parameter not in known:
            hint = nearest(parameter, known) or f" It has {', '.join(known)}."
            raise InvalidInput(f"members.{name}.params: {member.model} has no parameter {parameter!r}.{hint}")
    if "random_state" in known:
        params.setdefault("random_state", seed)
    return kind(**params)
