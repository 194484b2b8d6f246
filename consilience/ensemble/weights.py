"""Weights on the simplex, searched on out-of-fold predictions: pure functions on arrays.

For classes only the probability that each member gave to the class that came matters: ``picked`` (n_members, n). For
values ``outputs`` (n_members, n) and ``target`` (n,). ``sample_weight`` is (n,) everywhere.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

from consilience.base.magnitude import magnitude
from consilience.ensemble.combine import FLOOR

ROUNDING = 1e-12  # of a loss: less than this is what rounding leaves of no skill

MeanLoss = Callable[[np.ndarray], np.ndarray]


def picked_probabilities(proba: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(n_members, n) from proba (n_members, n, n_classes) and codes (n,)."""
    return np.maximum(proba[:, np.arange(len(codes)), codes], FLOOR)


def log_losses(picked: np.ndarray, sample_weight: np.ndarray) -> np.ndarray:
    """Mean log loss of each member, (n_members,)."""
    return -np.average(np.log(picked), axis=1, weights=sample_weight)


def performance_weights(losses: np.ndarray, baseline: float) -> np.ndarray:
    """Weights (n_members,) summing to 1, in proportion to each member's skill over a baseline's loss.

    Members no better than the baseline get nothing; if none is better, all are equal.

    >>> performance_weights(np.array([0.68, 0.67, 0.70]), baseline=0.69).round(3)
    array([0.333, 0.667, 0.   ])
    """
    skill = baseline - losses
    skill = np.where(skill > ROUNDING * abs(baseline), skill, 0.0)
    if skill.sum() == 0.0:
        return np.full(len(losses), 1.0 / len(losses))
    weights: np.ndarray = skill / skill.sum()
    return weights


def base_rate_loss(codes: np.ndarray, n_classes: int, sample_weight: np.ndarray) -> float:
    """Log loss of always saying the class frequencies: their entropy, in nats."""
    share = np.bincount(codes, sample_weight, n_classes) / sample_weight.sum()
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())


def simplex_weights(picked: np.ndarray, sample_weight: np.ndarray) -> np.ndarray:
    """Non-negative weights summing to 1 whose mixture has the least log loss, by SLSQP; a convex problem."""
    share = sample_weight / sample_weight.sum()

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = np.maximum(w @ picked, FLOOR)
        return -float(share @ np.log(mixed)), -(picked @ (share / mixed))

    return _on_simplex(loss, len(picked))


def simplex_weights_of_values(outputs: np.ndarray, target: np.ndarray, sample_weight: np.ndarray) -> np.ndarray:
    """Non-negative weights summing to 1 whose mean has the least squared error, by SLSQP; a convex problem."""
    share = sample_weight / sample_weight.sum()
    unit = max(magnitude(outputs), magnitude(target))
    outputs, target = outputs / unit, target / unit
    scale = float(share @ (outputs.mean(axis=0) - target) ** 2) or 1.0  # the loss of equal weights, to begin with

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        error = w @ outputs - target
        return float(share @ error**2) / scale, 2.0 * (outputs @ (share * error)) / scale

    return _on_simplex(loss, len(outputs))


def _on_simplex(loss: Callable[[np.ndarray], tuple[float, np.ndarray]], n_members: int) -> np.ndarray:
    """The weights found by SLSQP, or equal weights where those are no worse: the loss is never above that of equal."""
    equal = np.full(n_members, 1.0 / n_members)
    found = minimize(
        loss,
        equal,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * n_members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": np.ones_like},
        options={"ftol": 1e-9, "maxiter": 200},
    )
    weights = np.maximum(found.x, 0.0)
    if not np.isfinite(weights).all() or weights.sum() <= 0.0:
        return equal
    weights = np.asarray(weights / weights.sum())
    return weights if loss(weights)[0] <= loss(equal)[0] else equal


def greedy_weights(
    predictions: np.ndarray,
    mean_losses: MeanLoss,
    *,
    n_rounds: int = 20,
    n_bags: int = 6,
    bag_fraction: float = 0.75,
    random_state: int = 0,
) -> np.ndarray:
    """Caruana's ensemble selection: add whichever member helps most, with replacement; mean over bags of members.

    Parameters
    ----------
    predictions : (n_members, n), averaged over the selected members.
    mean_losses : of several candidate averages (m, n), an array (m,); see ``log_loss_of`` and ``squared_loss_of``.
    n_rounds : selections per bag. n_bags, bag_fraction : random subsets of the members that may be selected; the
        paper's half of the members suits libraries of thousands, not eight.

    References
    ----------
    Caruana et al., *Ensemble selection from libraries of models* (2004).
    """
    rng = np.random.default_rng(random_state)
    n_members = len(predictions)
    size = max(1, round(bag_fraction * n_members)) if n_members > 2 else n_members
    counts = np.zeros(n_members)
    for _ in range(n_bags):
        bag = np.sort(rng.choice(n_members, size, replace=False))
        counts[bag] += _select(predictions[bag], mean_losses, n_rounds)
    weights: np.ndarray = counts / counts.sum()
    return weights


def _select(predictions: np.ndarray, mean_losses: MeanLoss, n_rounds: int) -> np.ndarray:
    """How often each member is selected, stopping at the round with the least loss."""
    total, best, chosen = np.zeros(predictions.shape[1]), (np.inf, 0), []
    for number in range(1, n_rounds + 1):
        losses = mean_losses((total + predictions) / number)
        member = int(losses.argmin())
        chosen.append(member)
        total = total + predictions[member]
        if losses[member] < best[0] - 1e-9:
            best = (float(losses[member]), number)
    return np.bincount(chosen[: best[1]], minlength=len(predictions)) / max(best[1], 1)


def log_loss_of(sample_weight: np.ndarray) -> MeanLoss:
    """Mean log loss of averages of picked probabilities."""
    share = sample_weight / sample_weight.sum()
    return lambda mixed: -(np.log(mixed) @ share)


def squared_loss_of(target: np.ndarray, sample_weight: np.ndarray) -> MeanLoss:
    """Mean squared error of averages of values."""
    share = sample_weight / sample_weight.sum()
    return lambda mixed: ((mixed - target) ** 2) @ share


def shrink_to_equal(weights: np.ndarray, strength: float) -> np.ndarray:
    """Between the weights (strength 0) and equal weights (strength 1).

    >>> shrink_to_equal(np.array([1.0, 0.0]), 0.5)
    array([0.75, 0.25])
    """
    mixed: np.ndarray = (1.0 - strength) * weights + strength / len(weights)
    return mixed
