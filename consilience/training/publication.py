"""A trained stack becomes a version: with the contract it must be used under, and where it came from."""

import hashlib
from typing import Any

from consilience.base.state import canonical_json
from consilience.data import WARM_UP
from consilience.evaluation.leaderboard import LeaderboardRow
from consilience.registry import Registry, Version
from consilience.training.config import Config
from consilience.training.judgement import STACK, Judgement
from consilience.training.problem import Problem


def publish(
    registry: Registry,
    config: Config,
    problem: Problem,
    stack: Any,
    board: list[LeaderboardRow],
    judged: Judgement,
    source: str,
) -> Version:
    """Store the stack; when every gate passed it also becomes the candidate for production."""
    row = next(row for row in board if row.name == STACK)
    version = registry.publish(
        config.name,
        stack,
        contract=contract(config, stack),
        lineage=lineage(config, problem, judged, source),
        metrics={
            "out_of_fold": finite(row.metrics),
            "holdout": {item.metric: item.delivered.estimate for item in judged.holdout},
            "folds": config.folds.model_dump(mode="json"),
            "leaderboard": {other.name: finite(other.metrics) for other in board},
        },
        verdicts=[verdict.to_dict() for verdict in judged.verdicts],
    )
    if judged.promoted:
        registry.promote(version.ref, "candidate", reason=judged.summary)
    return registry.show(version.ref)


def contract(config: Config, stack: Any) -> dict[str, Any]:
    """What whoever serves the version must know: which features, from how much history, and what comes out."""
    return {
        "features": config.feature_names,
        "warm_up": WARM_UP,
        "label": config.label,
        "classes": [int(label) for label in stack.classes_],
        "output": "probability per class",
    }


def lineage(config: Config, problem: Problem, judged: Judgement, source: str) -> dict[str, Any]:
    """Data, configuration, seeds and trials behind a version; the registry adds code, packages and hardware."""
    plain = config.dump()
    times = problem.X.index.get_level_values(1)
    return {
        "data": {
            "source": source,
            "sha256": problem.snapshot,
            "rows": len(problem.bars),
            "assets": sorted({str(asset) for asset in problem.bars.index.get_level_values(0)}),
            "from": f"{times.min():%Y-%m-%d}",
            "to": f"{times.max():%Y-%m-%d}",
        },
        "features_sha256": hashlib.sha256(canonical_json(config.feature_names).encode()).hexdigest(),
        "config": plain,
        "config_sha256": hashlib.sha256(canonical_json(plain).encode()).hexdigest(),
        "seed": config.seed,
        "trials": judged.n_trials,
    }


def finite(metrics: dict[str, float]) -> dict[str, float]:
    """Without the infinities that JSON cannot hold (a profit factor without losses)."""
    return {name: float(value) for name, value in metrics.items() if abs(value) < float("inf")}
