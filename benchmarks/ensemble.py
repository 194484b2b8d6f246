"""What the ensembles are worth: one table per claim, on markets whose structure is known, seed by seed.

    python benchmarks/ensemble.py                    every section; predictions of members are made once and kept
    python benchmarks/ensemble.py planted speed      some sections
    python benchmarks/ensemble.py planted --seeds 5
    python benchmarks/ensemble.py noise --members logistic hmm     fewer members, for a quick look

Each section ends with its goals, met or missed; a missed one makes the exit status 1.

Log losses are in nats on a hold-out of the newest 15 % that nothing was fitted on. "skill" is 1 − loss / base rate's
loss.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ensemble_adaptive import fusion, online, regimes, specialists_of_models
from ensemble_cases import (
    ALL,
    MISSED,
    Case,
    accuracy,
    calibration,
    combinations,
    equal_weights,
    goal,
    greedy_stack,
    load,
    loss_of,
    sklearn_stack,
    table_of,
)
from ensemble_predictions import FAST
from scipy import stats

from consilience.ensemble import conformal
from consilience.ensemble.combine import soft_vote, softmax
from consilience.ensemble.evidence import Evidence
from consilience.ensemble.own_record import said_by_pools
from consilience.ensemble.pool import LogOddsPool
from consilience.ensemble.pool_fitting import LogLoss, Penalty
from consilience.ensemble.shrinkage import fit_pool, walk_forward
from consilience.ensemble.weight_search import SEARCHES, searched_weights
from consilience.ensemble.weights import log_losses, picked_probabilities
from consilience.evaluation.bootstrap import Interval
from consilience.evaluation.holdout import Delivered, deliver
from consilience.evaluation.leaderboard import leaderboard


def planted(seeds: int, names: list[str]) -> None:
    """The stack against members and peers where there is something to find."""
    rows: dict[str, list[float]] = {}
    accurate: dict[str, list[float]] = {}
    calibrated = {"stack": [], "equal vote": []}
    for seed in range(seeds):
        case = load("planted", seed, names)
        said = {name: combine(case.holdout) for name, combine in combinations(case.table).items()}
        said |= dict(zip(names, case.holdout))
        for name, found in calibrated.items():
            found.append(calibration(said[name], case.codes))
        picked = picked_probabilities(case.table.outputs, case.table.target)
        said["best by out-of-fold"] = case.holdout[int(log_losses(picked, case.table.weight).argmin())]
        said["base rate"] = case.base
        for name, proba in said.items():
            rows.setdefault(name, []).append(loss_of(proba, case.codes))
            accurate.setdefault(name, []).append(accuracy(proba, case.codes))
    losses = {name: np.array(values) for name, values in rows.items()}
    losses["best in hindsight"] = np.min([losses[name] for name in names], axis=0)
    base = losses["base rate"]
    print(f"planted markets, {seeds} seeds, members {', '.join(names)}")
    print(f"  {'':22s} log loss   skill  accuracy  the stack's gain in skill (t, p over seeds)")
    for name in sorted(losses, key=lambda name: losses[name].mean()):
        skill, gain = 1 - losses[name] / base, (losses[name] - losses["stack"]) / base
        test = stats.ttest_1samp(gain, 0.0) if name != "stack" else None
        hits = np.mean(accurate[name]) if name in accurate else np.nan
        line = f"  {name:22s} {losses[name].mean():.4f}  {100 * skill.mean():5.2f} %  {100 * hits:5.2f} %"
        print(line + (f"   {100 * gain.mean():+.2f} points ({test.statistic:+.1f}, {test.pvalue:.1g})" if test else ""))
    for name, found in calibrated.items():
        slope, error = np.nanmean(found, axis=0)
        print(f"  {name}: calibration slope {slope:.2f} (1 is calibrated), calibration error {100 * error:.2f} points")
    single = min(names, key=lambda name: losses[name].mean())
    gained, of = base - losses["stack"], base - losses[single]
    draws = np.random.default_rng(0).integers(0, seeds, (5000, seeds))
    ratios = 100 * (gained[draws].mean(axis=1) / of[draws].mean(axis=1) - 1)
    low, high = np.percentile(ratios, [2.5, 97.5])
    points = 100 * (gained / base).mean(), 100 * (of / base).mean()
    ratio, test = 100 * (gained.mean() / of.mean() - 1), stats.ttest_rel(gained, of)
    print(
        f"  best single member on average: {single}; the stack's skill is {points[0]:.2f} % against {points[1]:.2f} %, "
        f"{ratio:+.1f} % more (95 % bootstrap interval over seeds {low:+.1f} to {high:+.1f} %)"
    )
    goal(
        ratio > 3.0 and test.pvalue < 0.05,
        f"over 3 % more skill than {single}, by the paired test (p {test.pvalue:.2g})",
    )
    for peer in ("greedy", "sklearn stack"):
        goal(losses["stack"].mean() <= losses[peer].mean(), f"log loss at least as good as that of {peer}")


def nothing(market: str, seeds: int, names: list[str]) -> None:
    """Where there is nothing to find: the excess over the base rate, what is claimed, and gains over equal weights."""
    gains: dict[str, list[list[float]]] = {}
    claims(market, seeds, names)
    for seed in range(seeds if seeds > 1 else 0):
        case = load(market, seed, names)
        vote = case.holdout.mean(axis=0)
        said = {name: combine(case.holdout) for name, combine in combinations(case.table).items()}
        equal = equal_weights(case.table)(case.holdout)
        for name, proba in {**said, "base rate": case.base, "equal weights, as a stack": equal}.items():
            rivals = equal if name == "stack" else vote, as_sure_as(proba, vote, case.base), vote
            gains.setdefault(name, []).append(
                [loss_of(rival, case.codes) - loss_of(proba, case.codes) for rival in rivals]
            )
    if gains:
        against_equal_weights(gains)


def claims(market: str, seeds: int, names: list[str]) -> None:
    """Where there is nothing to find: the stack's loss over the base rate's, and whether claims were delivered."""
    excess, kept, by_chance = [], 0, 0
    for seed in range(seeds):
        case = load(market, seed, names)
        walk = walk_forward(case.table)
        late = fit_pool(case.table, walk).combine(case.holdout)
        excess.append(loss_of(late, case.codes) - loss_of(case.base, case.codes))
        outcome, alone = claimed_and_delivered(case, said_by_pools(case.table, walk), late)
        kept, by_chance = kept + outcome.inside, by_chance + alone.inside
        if market == "index":
            said = {name: loss_of(p, case.codes) for name, p in zip(names, case.holdout)}
            print(f"  members on the hold-out: {', '.join(f'{name} {value:.4f}' for name, value in said.items())}")
            print(f"  {outcome.sentence} The base rate's is {loss_of(case.base, case.codes):.4f}.")
    print(
        f"{market}, {seeds} seeds: log loss over the base rate's on the hold-out: mean {np.mean(excess):+.5f}, "
        f"worst {max(excess):+.5f}; members {', '.join(names)}"
    )
    goal(max(excess) <= 0.001, "nowhere more than 0.001 over the base rate's log loss")
    print(
        f"  claimed and delivered are no further apart than chance and the folds' scatter allow, at 95 %, in {kept} of "
        f"{seeds} (than chance alone in {by_chance})"
    )
    goal(kept >= 0.9 * seeds, "the claim covers what was delivered, within the interval of their difference")


def against_equal_weights(gains: dict[str, list[list[float]]]) -> None:
    """Whether a combination is better than equal weights where nothing can be found.

    Equal weights of the same kind are what it must not beat: for a vote the equal vote, for the stack one that knows
    equal weights and the base rate only. The members are too sure of themselves here, and so is their plain mean:
    the base rate alone beats it, and therefore whatever says the base rate.
    """
    print("  better than           equal weights of its kind      an equal vote as sure          the equal vote")
    tests = {name: [stats.ttest_1samp(part, 0.0) for part in np.array(values).T] for name, values in gains.items()}
    judged = [name for name in tests if name not in ("equal vote", "base rate", "equal weights, as a stack")]
    holm, plain = (
        dict(zip(judged, holm_adjusted([tests[name][column].pvalue for name in judged]))) for column in (0, 2)
    )
    for name, values in gains.items():
        cells = [
            f"{mean:+.5f} (t {test.statistic:+.1f}, p {test.pvalue:.2g})"
            for mean, test in zip(np.mean(values, axis=0), tests[name])
        ]
        if name in judged:
            print(f"  {name:18s} {'   '.join(cells)}; by Holm {holm[name]:.2g}, {plain[name]:.2g}")
            better = holm[name] <= 0.05 and tests[name][0].statistic > 0
            goal(not better, f"{name} is not significantly better than equal weights")
        elif name != "equal vote":
            print(f"  {name}: {cells[2]} better than the equal vote")


def as_sure_as(said: np.ndarray, vote: np.ndarray, base: np.ndarray) -> np.ndarray:
    """The equal vote pulled to the base rate until its log-odds lie as far from it as another combination's.

    Where there is nothing to find, whoever is less sure loses less, whatever it listens to: this takes that part out.
    """
    away, own = (np.log(part) - np.log(base) for part in (vote, said))
    size, target = (np.sqrt(np.mean((part[:, 1] - part[:, 0]) ** 2)) for part in (away, own))
    return softmax(np.log(base) + away * (target / max(size, 1e-12)))


def holm_adjusted(values: list[float]) -> list[float]:
    """p-values that hold for all of several tests together (Holm 1979)."""
    order, adjusted, largest = np.argsort(values), np.empty(len(values)), 0.0
    for rank, position in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[position]))
        adjusted[position] = largest
    return adjusted.tolist()


def claimed_and_delivered(case: Case, said: dict[int, np.ndarray], late: np.ndarray) -> tuple[Delivered, Delivered]:
    """The stack's log loss out of fold and on the hold-out, judged as a training run judges it; and by chance alone."""
    own = np.full((len(case.problem.train), 2), np.nan)
    for fold, proba in said.items():
        own[case.table.rows[case.table.fold == fold]] = proba

    def interval(proba: np.ndarray, rows: np.ndarray) -> Interval:
        y, returns = case.problem.y[rows], case.problem.forward_return[rows]
        board = leaderboard({"stack": proba}, y, returns, X=case.problem.X.iloc[rows])
        return board[0].intervals["log_loss"]

    train = case.problem.train
    folds = [interval(proba, train[case.table.rows[case.table.fold == fold]]) for fold, proba in said.items()]
    sides = {"log_loss": (interval(own, train), interval(late, case.problem.holdout))}
    return deliver(sides, folds={"log_loss": folds})[0], deliver(sides)[0]


def robustness(seeds: int, names: list[str]) -> None:
    """What losing the best member costs the stack and a soft vote, and what it costs neither."""
    lost: dict[str, list[float]] = {}
    for seed in range(seeds):
        case = load("planted", seed, names)
        best = int(log_losses(picked_probabilities(case.table.outputs, case.table.target), case.table.weight).argmin())
        rest = np.delete(np.arange(len(names)), best)
        pool, less = fit_pool(case.table), fit_pool(case.table.members(rest))
        lost.setdefault("stack", []).append(
            loss_of(less.combine(case.holdout[rest]), case.codes) - loss_of(pool.combine(case.holdout), case.codes)
        )
        weights = {"soft vote": np.ones(len(names))}
        weights |= {f"soft vote, {method} weights": searched_weights(case.table, method) for method in SEARCHES}
        for name, weight in weights.items():
            whole, left = soft_vote(case.holdout, weight), soft_vote(case.holdout[rest], weight[rest])
            lost.setdefault(name, []).append(loss_of(left, case.codes) - loss_of(whole, case.codes))
    print(f"losing the best member by out-of-fold loss ({seeds} planted seeds), nats:")
    draws = np.random.default_rng(0).integers(0, seeds, (2000, seeds))
    own = np.array(lost.pop("stack"))
    print(f"  {'stack':32s} {own.mean():+.5f}")
    for name, values in lost.items():
        vote = np.array(values)
        low, high = np.percentile(own[draws].mean(axis=1) / vote[draws].mean(axis=1), [2.5, 97.5])
        ratio = f"{own.mean() / vote.mean():.2f} of it [{low:.2f}, {high:.2f}]"
        print(f"  {name:32s} {vote.mean():+.5f}; the stack loses {ratio}")
        if name == "soft vote":
            goal(
                own.mean() < 0.5 * vote.mean(), "losing the best member costs less than half of what it costs the vote"
            )


def speed(seeds: int, names: list[str]) -> None:
    """Combining 8 members × 100,000 rows, after checking that pool and fit agree with their references."""
    rng = np.random.default_rng(0)
    n = 100_000
    parts = 0.15 * rng.standard_normal((8, n))
    codes = (rng.random(n) < 1 / (1 + np.exp(-parts.sum(axis=0)))).astype(int)
    said = parts + 0.1 * rng.standard_normal((8, n))
    table = table_of(softmax(np.stack([np.zeros_like(said), said], axis=-1)), codes)
    pool = fit_pool(table_of(table.outputs[:, :5000], codes[:5000]))
    check_parity(pool, table)
    ways = {
        "stack (walk forward, fit, combine)": lambda: fit_pool(table).combine(table.outputs),
        "sklearn stack (fit, combine)": lambda: sklearn_stack(table)(table.outputs),
        "greedy, 25 rounds (fit, combine)": lambda: greedy_stack(table)(table.outputs),
        "stack (combine only)": lambda: pool.combine(table.outputs),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    busy: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(3):
        for name, way in ways.items():
            started, worked = time.perf_counter(), time.process_time()
            proba = way()
            times[name].append(time.perf_counter() - started)
            busy[name].append(time.process_time() - worked)
            if repeat == 0:
                assert proba.shape == (n, 2) and np.allclose(proba.sum(axis=1), 1.0)
    for name, seconds in times.items():
        print(f"  8 members × 100,000 rows, {name}: {np.median(seconds):.2f} s, {np.median(busy[name]):.2f} s of CPU")
    goal(np.median(times["stack (walk forward, fit, combine)"]) < 1.0, "8 members × 100,000 rows in under 1 s")


def check_parity(pool: LogOddsPool, table: Evidence) -> None:
    """What is timed gives the same as the slow and obvious versions of tests/reference/pooling.py."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.reference.pooling import fit_non_negative, pooled

    few = table.outputs[:, :200]
    expected = pooled(pool.base, pool.centre, pool.weights[0], few)
    assert np.abs(pool.combine(few) - expected).max() < 1e-9, "the pool differs from its reference"
    some = table.only(np.arange(2000))
    loss, rows = LogLoss(some.outputs, some.target, some.weight, some.prior), np.arange(2000)
    anchor = loss.anchor(rows)
    design = loss.design(rows, anchor)

    def objective(w: np.ndarray) -> float:
        return float(loss.losses(design, rows, anchor, w).sum() + 0.5 * (w @ w))

    found = loss.fit(design, rows, anchor, Penalty(np.zeros(8), np.ones(8), np.full(8, 10.0)), np.zeros(8))
    assert objective(found) <= objective(fit_non_negative(objective, 8)) + 1e-4, "the fit misses its optimum"
    print("  parity: the pool and its fit agree with their references")


def coverage(seeds: int, names: list[str]) -> None:
    """Conformal sets on exchangeable rows (a shuffled walk forward), and on the rows in their order."""
    for level in (0.8, 0.9):
        hits, drifts = [], []
        for seed in range(seeds):
            case = load("planted", seed, names)
            table = case.table
            said = said_by_pools(table, walk_forward(table))
            inside = np.isin(table.fold, list(said))
            scores = conformal.class_scores(
                np.concatenate(list(said.values())), np.concatenate([table.target[table.fold == fold] for fold in said])
            )
            mixed = np.random.default_rng(seed).permutation(scores)
            half = len(mixed) // 2
            hits.append(np.mean(mixed[half:] <= conformal.threshold(mixed[:half], level)))
            report = conformal.coverage_over_time(scores, table.begin[inside], table.end[inside], level)
            drifts.append(report["drift"].abs().max())
        print(
            f"conformal sets at {level:.0%} ({seeds} seeds): exchangeable {100 * np.mean(hits):.2f} %; "
            f"largest drift of a block in time order {100 * np.mean(drifts):.1f} points on average"
        )
        goal(abs(np.mean(hits) - level) < 0.015, f"{level:.0%} sets within 1.5 points on exchangeable rows")


SECTIONS: dict[str, Callable[[int, list[str]], None]] = {
    "planted": planted,
    "noise": lambda seeds, names: nothing("noise", seeds, names),
    "claims": lambda seeds, names: claims("noise", 3 * seeds, names),  # coverage shows in many seeds only
    "index": lambda seeds, names: nothing("index", 1, names),
    "regimes": regimes,
    "specialists": specialists_of_models,
    "fusion": fusion,
    "online": online,
    "robustness": robustness,
    "speed": speed,
    "coverage": coverage,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", default=list(SECTIONS), help=", ".join(SECTIONS))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--members", nargs="*", default=ALL, choices=ALL, help="all of configs/planted.yaml by default")
    parser.add_argument("--fast", action="store_true", help="the six members that are no networks")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in given.sections:
        SECTIONS[name](given.seeds, FAST if given.fast else given.members)
    if MISSED:
        sys.exit("goals missed:\n  " + "\n  ".join(MISSED))


if __name__ == "__main__":
    main()
