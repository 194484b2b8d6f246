"""Sections of ``ensemble.py`` on what adapts: weights per regime, specialists, fused embeddings, online weights."""

import dataclasses

import numpy as np
from ensemble_cases import goal, load, loss_of, table_of
from ensemble_predictions import FAST, FOLDS, member, predictions, problem
from scipy import stats

from consilience.base import predict_rows
from consilience.ensemble import FusionClassifier, OnlineWeights, RegimeSpecialistClassifier
from consilience.ensemble.combine import softmax
from consilience.ensemble.evidence import Evidence
from consilience.ensemble.expert_advice import best_sequence_loss, exponential_bound, fixed_share_bound
from consilience.ensemble.regimes import filtered, regimes_out_of_fold
from consilience.ensemble.selection import fit_specialists
from consilience.ensemble.shrinkage import fit_pool
from consilience.ensemble.weights import picked_probabilities
from consilience.kernels import RegimeFeatures

BLIND = ["logistic", "lorentzian", "hmm"]  # members that cannot let the regime turn another feature's effect round


def regimes(seeds: int, names: list[str]) -> None:
    """Weights per regime against global weights: where members are specialists of regimes, and on whole markets."""
    for matter in (True, False):
        gains = [specialist_gain(matter, seed) for seed in range(seeds)]
        word = "matter" if matter else "do not matter"
        print(
            f"regimes {word} for who is right ({seeds} seeds): regime-wise weights gain {np.mean(gains):+.5f} nats, "
            f"worst {min(gains):+.5f} ({100 * min(gains) / np.log(2):+.2f} % of the base rate's)"
        )
        if matter:
            goal(min(gains) > 0.0, "regime-wise weights win in every seed where regimes matter")
        else:
            goal(100 * min(gains) / np.log(2) > -0.5, "and lose no more than 0.5 % where they do not")
    for market, names in (("switching", BLIND), ("switching", FAST), ("planted", FAST), ("no_regime", FAST)):
        found = np.array([market_losses(market, seed, names) for seed in range(seeds)])
        print(f"  market {market}, {seeds} seeds, members {', '.join(names)}: log loss {found[:, 0].mean():.4f}")
        for number, word in enumerate(("weights per regime", "one member per regime", "one member for all regimes"), 1):
            gain = found[:, 0] - found[:, number]
            t, p = stats.ttest_1samp(gain, 0.0)
            worst = 100 * (gain / found[:, 0]).min()
            print(f"    {word:26s} gain {gain.mean():+.5f} (t {t:+.1f}, p {p:.2g}), worst {worst:+.2f} %")


def specialists_of_models(seeds: int, names: list[str]) -> None:
    """A model per regime against one for all rows, where the regime turns an effect round and where there is none."""
    for market in ("switching", "no_regime"):
        rows: dict[str, list[float]] = {}
        for seed in range(seeds):
            case = problem(market, seed)
            X, y, ends = case.X.iloc[case.train], case.y[case.train], case.label_end.iloc[case.train]
            for name in ("logistic", "lightgbm"):
                regimes = RegimeFeatures(n_components=3, random_state=0)
                own = RegimeSpecialistClassifier(member(name), regimes, FOLDS).fit(X, y, label_end=ends)
                for label, model in ((name, own.global_), (f"{name} per regime", own)):
                    said = predict_rows(model.predict_proba, case.X, case.holdout, model.lookback)
                    rows.setdefault(label, []).append(loss_of(said, case.y[case.holdout]))
                rows.setdefault(f"{name} strength", []).append(own.strength_)
        print(f"a model per regime, market {market}, {seeds} seeds")
        for name in ("logistic", "lightgbm"):
            alone, own = (np.array(rows[label]) for label in (name, f"{name} per regime"))
            t, p = stats.ttest_1samp(alone - own, 0.0)
            gain, worst = (alone - own).mean(), 100 * ((alone - own) / alone).min()
            print(
                f"  {name}: {alone.mean():.4f} for all rows, {own.mean():.4f} per regime: gain {gain:+.5f} "
                f"(t {t:+.1f}, p {p:.2g}), worst {worst:+.2f} %, mean strength {np.mean(rows[f'{name} strength']):.2f}"
            )


def fusion(seeds: int, names: list[str]) -> None:
    """A booster on columns and embeddings against the booster and the network alone."""
    for name in ("lstm", "transformer"):
        losses: dict[str, list[float]] = {}
        alike = []
        for seed in range(seeds):
            case = problem("planted", seed)
            X, y, ends = case.X.iloc[case.train], case.y[case.train], case.label_end.iloc[case.train]
            codes, booster = case.y[case.holdout], member("lightgbm")
            losses.setdefault("booster alone", []).append(
                loss_of(predictions("planted", seed, "lightgbm", case)[1], codes)
            )
            losses.setdefault("network alone", []).append(loss_of(predictions("planted", seed, name, case)[1], codes))
            known = None
            for label, params in FUSIONS.items():
                model = FusionClassifier([(name, member(name))], booster, FOLDS, **params)
                model.fit(X, y, label_end=ends, embedded=known if params.get("align", True) else None)
                known = known or model.embedded_
                said = predict_rows(model.predict_proba, case.X, case.holdout, model.lookback)
                losses.setdefault(label, []).append(loss_of(said, codes))
            alike.append(known[name].likeness.mean(axis=0))
        before, after = np.mean(alike, axis=0)
        print(
            f"fusion of {name} and lightgbm, {seeds} planted seeds; neighbours alike {before:.2f}, aligned {after:.2f}"
        )
        alone = np.array(losses["booster alone"])
        for label, values in losses.items():
            gain = alone - np.array(values)
            test = stats.ttest_1samp(gain, 0.0) if label != "booster alone" else None
            line = f"  {label:32s} {np.mean(values):.4f}"
            print(line + (f"   gain {gain.mean():+.5f} (t {test.statistic:+.1f}, p {test.pvalue:.2g})" if test else ""))


FUSIONS: dict[str, dict] = {
    "concatenated": {},
    "gated": {"fusion": "gated"},
    "attention": {"fusion": "attention"},
    "concatenated, not aligned": {"align": False},
}


def specialist_gain(matter: bool, seed: int, n: int = 3000) -> float:
    data, later = (specialists(matter, seed + shift, n) for shift in (0, 1000))
    aware = fit_pool(data).combine(later.outputs, later.regimes)
    blind = fit_pool(dataclasses.replace(data, regimes=np.ones((n, 1)))).combine(later.outputs)
    return loss_of(blind, later.target) - loss_of(aware, later.target)


def specialists(matter: bool, seed: int, n: int) -> Evidence:
    """Two members; where regimes matter each knows the truth in one regime and nothing in the other."""
    rng = np.random.default_rng(seed)
    state = (np.cumsum(rng.random(n) < 0.02) % 2).astype(int)
    truth, noise = 0.6 * rng.standard_normal(n), 0.6 * rng.standard_normal((2, n))
    codes = (rng.random(n) < 1 / (1 + np.exp(-truth))).astype(int)
    said = np.stack([np.where(state == k, truth, noise[k]) for k in (0, 1)]) if matter else truth + noise
    outputs = softmax(np.stack([np.zeros_like(said), said], axis=-1))
    known = np.eye(2)[state] * 0.8 + 0.1  # the filter is right, but never sure
    rows = np.arange(n)
    return Evidence(
        ("a", "b"), outputs, codes, rows, rows * 5 // n, rows, rows + 1, np.ones(n), np.full(2, 50.0), known
    )


def market_losses(market: str, seed: int, names: list[str]) -> tuple[float, ...]:
    """Hold-out losses: global weights, weights per regime, one member per regime, one member."""
    case = problem(market, seed)
    X, ends = case.X.iloc[case.train], case.label_end.iloc[case.train]
    model = RegimeFeatures(n_components=3, random_state=0)
    known, final, order = regimes_out_of_fold(model, X, case.y[case.train], FOLDS, ends)
    whole = load(market, seed, names, known)
    late = predict_rows(lambda rows: filtered(final, rows)[:, order], case.X, case.holdout, final.lookback)
    flat = dataclasses.replace(whole.table, regimes=np.ones((whole.table.n_rows, 1)))
    pools = fit_pool(flat), fit_pool(whole.table), fit_specialists(whole.table), fit_specialists(flat)
    return tuple(
        loss_of(pool.combine(whole.holdout, late if len(pool.weights) > 1 else None), whole.codes) for pool in pools
    )


def online(seeds: int, names: list[str]) -> None:
    """Expert advice: regret against the bound, gain over fixed weights after a planted change, and with late labels."""
    print(f"online weights, {seeds} seeds, 4 members, 3000 steps, the best member changes half way")
    for method in ("fixed_share", "exponential"):
        for delay in (0, 5, 20):
            online_with(method, delay, seeds)


def online_with(method: str, delay: int, seeds: int) -> None:
    """One method, with labels known so many steps after their row."""
    rows, bounds = [], (0.0, 0.0)
    for seed in range(seeds):
        outputs, codes = changing(seed)
        n, n_members = len(codes), len(outputs)
        weights = OnlineWeights([f"m{i}" for i in range(n_members)], method=method, share=0.005)
        said = weights.run(outputs, codes, np.arange(n), np.arange(n) + delay)
        losses = -np.log(picked_probabilities(outputs, codes)).T
        own = loss_of(said, codes) * n
        after = slice(n // 2, n)
        fixed = fit_pool(table_of(outputs[:, : n // 2], codes[: n // 2])).combine(outputs[:, after])
        late = loss_of(said[after], codes[after])
        single, one_switch = own - losses.sum(axis=0).min(), own - best_sequence_loss(losses, 1)
        equal = loss_of(outputs[:, after].mean(axis=0), codes[after])
        rows.append((single, one_switch, loss_of(fixed, codes[after]) - late, equal - late))
        if method == "fixed_share":
            bounds = tuple(fixed_share_bound(n_members, n, switches, 0.005) for switches in (0, 1))
        else:
            bounds = exponential_bound(n_members), np.inf
    found = np.array(rows)
    print(f"  {method}, labels known {delay} steps later")
    print(
        f"    regret to the best member: worst {found[:, 0].max():+.1f} nats, bound without delay {bounds[0]:.1f}; "
        f"to the best pair with one change: worst {found[:, 1].max():+.1f}, bound {bounds[1]:.1f}"
    )
    print(
        f"    log loss after the change, gain over weights fitted before it: {found[:, 2].mean():+.4f} "
        f"(least {found[:, 2].min():+.4f}); over equal weights {found[:, 3].mean():+.4f} "
        f"(least {found[:, 3].min():+.4f})"
    )
    within = found[:, 0].max() <= (delay + 1) * bounds[0] + 1e-6  # reached exactly where one member takes all
    goal(within, f"{method}, delay {delay}: regret to the best member within {delay + 1} times the bound")
    if method == "fixed_share":
        goal(found[:, 1].max() <= (delay + 1) * bounds[1], f"delay {delay}: and to the best pair with one change")
        goal(found[:, 2].min() > 0.0, f"delay {delay}: overtakes fixed weights after the change in every seed")


def changing(seed: int, n: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = 0.8 * rng.standard_normal(n)
    codes = (rng.random(n) < 1 / (1 + np.exp(-truth))).astype(int)
    said = 0.8 * rng.standard_normal((4, n))
    said[0, : n // 2], said[1, n // 2 :] = truth[: n // 2], truth[n // 2 :]
    return softmax(np.stack([np.zeros_like(said), said], axis=-1)), codes
