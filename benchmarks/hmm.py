"""Hidden Markov kernels against hmmlearn: parity first, then interleaved runs, medians, ratios.

    python benchmarks/hmm.py            # the whole table, about two minutes on two idle cores
    python benchmarks/hmm.py --quick    # without the rows of a million

Both sides get the same parameters, and hmmlearn its faster "scaling" implementation. hmmlearn uses one thread,
our kernels all that the process may use. ``cpu`` is the ratio of processor times: the gain without the threads.
"""

import argparse
import logging
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from hmmlearn.hmm import GaussianHMM as Peer

from consilience.kernels import _hmm_step, hmm
from consilience.kernels.hmm_parameters import HMMParameters
from consilience.kernels.hmm_stream import HMMStream
from consilience.kernels.hmm_training import Priors, train
from consilience.kernels.workers import n_threads

logging.getLogger("hmmlearn").setLevel(logging.ERROR)


def problem(k: int, d: int, covariance_type: str, n: int, seed: int) -> tuple[HMMParameters, np.ndarray]:
    """Parameters of sticky states, and n rows drawn from them."""
    rng = np.random.default_rng(seed)
    transmat = np.full((k, k), 0.02 / (k - 1))
    np.fill_diagonal(transmat, 0.98)
    root = 0.3 * rng.standard_normal((k, d, d))
    covars = rng.uniform(0.5, 2, (k, d)) if covariance_type == "diag" else np.eye(d) + root @ root.transpose(0, 2, 1)
    p = HMMParameters.checked(np.full(k, 1 / k), transmat, rng.standard_normal((k, d)), covars, covariance_type)
    state = np.cumsum((rng.random(n) < 0.02) * rng.integers(1, k, n)) % k
    noise = rng.standard_normal((n, d))
    return p, p.means[state] + np.einsum("tij,tj->ti", np.linalg.cholesky(p.full_covars)[state], noise)


def peer(p: HMMParameters, n_iter: int = 20) -> Peer:
    prior = 1e-2 * (np.eye(p.n_features) if p.covariance_type == "full" else 1.0)
    model = Peer(p.n_states, p.covariance_type, n_iter=n_iter, tol=-np.inf, init_params="", covars_prior=prior)
    model.implementation = "scaling"
    model.n_features = p.n_features
    model.startprob_, model.transmat_, model.means_, model.covars_ = p.startprob, p.transmat, p.means, p.covars
    return model


def check(p: HMMParameters, X: np.ndarray, lengths: Any, n_iter: int) -> None:
    """Stop unless both sides give the same numbers."""
    other = peer(p)
    log_likelihood, proba = other.score_samples(X, lengths)
    own_proba, own = hmm.forward_backward(X, p, lengths)
    assert abs(own / log_likelihood - 1) < 1e-10 and np.abs(own_proba - proba).max() < 1e-9
    best, _ = other.decode(X, lengths)
    assert abs(hmm.viterbi(X, p, lengths)[0] / best - 1) < 1e-10
    fitted = peer(p, n_iter).fit(X, lengths)
    history = em(p, X, lengths, n_iter)
    worst = np.abs(np.array(history) / np.array(fitted.monitor_.history) - 1).max()
    assert worst < 1e-10, f"log-likelihoods differ by {worst:.1e}"


def em(p: HMMParameters, X: np.ndarray, lengths: Any, n_iter: int) -> tuple[float, ...]:
    starts = hmm.sequence_starts(len(X), lengths)
    return train(X, starts, p, priors=Priors(), n_iter=n_iter, tol=-np.inf).history


def compare(name: str, ours: Callable[[], Any], theirs: Callable[[], Any], least: float, runs: int) -> None:
    """Time both in turn, after one warm-up of each."""
    ours(), theirs()
    times: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
    for _ in range(runs):
        for side, work in (("ours", ours), ("theirs", theirs)):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            times[side].append((time.perf_counter() - wall, time.process_time() - cpu))
    own, own_cpu = (statistics.median(run[i] for run in times["ours"]) for i in range(2))
    other, other_cpu = (statistics.median(run[i] for run in times["theirs"]) for i in range(2))
    verdict = "ok" if other / own >= least else "below"
    print(
        f"{name:<38}{own * 1e3:>10.2f}{other * 1e3:>12.1f}{other / own:>9.1f}x{least:>7.0f}x  {verdict:<6}"
        f"{other_cpu / own_cpu:>7.1f}x",
        flush=True,
    )


def block(
    title: str, p: HMMParameters, X: np.ndarray, lengths: Any, least: tuple[float, float, float], runs: int
) -> None:
    """Forward–backward, EM and Viterbi on one data set; a limit of 0 leaves one out."""
    n_iter = 20 if len(X) <= 100_000 else 3
    check(p, X, lengths, n_iter)
    slow = max(2, runs // 2)
    if least[0]:
        compare(
            f"forward-backward, {title}",
            lambda: hmm.forward_backward(X, p, lengths),
            lambda: peer(p).score_samples(X, lengths),
            least[0],
            runs,
        )
    if least[1]:
        compare(
            f"EM {n_iter} iterations, {title}",
            lambda: em(p, X, lengths, n_iter),
            lambda: peer(p, n_iter).fit(X, lengths),
            least[1],
            slow,
        )
    if least[2]:
        compare(
            f"Viterbi, {title}",
            lambda: hmm.viterbi(X, p, lengths),
            lambda: peer(p).decode(X, lengths),
            least[2],
            runs,
        )


def streaming(runs: int) -> None:
    """One step of the compiled filter, called from compiled code; and through Python."""
    p, X = problem(4, 4, "diag", 100_000, 0)
    stream = HMMStream(p)
    state = np.concatenate([stream.step(None, X[0]), np.zeros(2 * 4 + 4)])
    out = np.empty((len(X) - 1, 4))
    _hmm_step.steps(stream._model, state.copy(), X[1:], out)
    assert np.abs(out - hmm.forward_filter(X, p)[0][1:]).max() < 1e-10
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        _hmm_step.steps(stream._model, state.copy(), X[1:], out)
        times.append((time.perf_counter() - start) / len(out))
    start = time.perf_counter()
    answer = None
    for x in X[:2000]:
        answer = stream.step(answer, x)
    python = (time.perf_counter() - start) / 2000
    step = statistics.median(times) * 1e6
    print(f"streaming step, K=4 D=4: {step:.3f} µs compiled (limit 0.5), {python * 1e6:.1f} µs through Python")


def main() -> None:
    os.environ.setdefault("CONSILIENCE_BIND_THREADS", "1")  # ours are the only threads here that work in bursts
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="leave out the rows of a million")
    parser.add_argument("--runs", type=int, default=9)
    arguments = parser.parse_args()
    runs = arguments.runs
    print(f"{n_threads()} threads; milliseconds, medians of {runs} interleaved runs (EM: {max(2, runs // 2)})")
    print(f"{'work':<38}{'ours':>10}{'hmmlearn':>12}{'ratio':>10}{'goal':>8}  {'':<6}{'cpu':>8}")
    for seed in range(2):
        block(f"1e5 K4 D4 diag seed {seed}", *problem(4, 4, "diag", 100_000, seed), None, (20, 25, 20), runs)
    block("1e5 K3 D8 full", *problem(3, 8, "full", 100_000, 0), None, (8, 8, 0), runs)
    lengths = np.full(1000, 500)
    block("1000 of 500, K4 D4", *problem(4, 4, "diag", 500_000, 0), lengths, (25, 25, 25), max(3, runs // 2))
    if not arguments.quick:
        block("1e6 K4 D4 diag", *problem(4, 4, "diag", 1_000_000, 0), None, (12, 12, 12), 3)
    streaming(runs)


if __name__ == "__main__":
    main()
