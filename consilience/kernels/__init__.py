"""Compiled models: Lorentzian nearest neighbours, Gaussian hidden Markov models, and one evaluator for fitted forests.

Files that begin with an underscore hold the compiled code (arrays in, arrays out, nothing validated); the file of the
same family without it holds what a user calls. Each name is imported when it is first used.
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "lorentzian_distances": "lorentzian_metric",
    "lorentzian_neighbors": "lorentzian_index",
    "LorentzianIndex": "lorentzian_index",
    "ApproximateLorentzianIndex": "lorentzian_approximate",
    "LorentzianClassifier": "lorentzian",
    "LorentzianRegressor": "lorentzian",
    "GaussianHMM": "gaussian_hmm",
    "HMMParameters": "hmm_parameters",
    "forward_filter": "hmm",
    "forward_backward": "hmm",
    "viterbi": "hmm",
    "expected_statistics": "hmm",
    "HMMClassifier": "hmm_classifier",
    "RegimeFeatures": "regime_features",
    "select_n_components": "hmm_selection",
    "regime_report": "regime_reporting",
    "plot_states": "regime_plots",
    "plot_transitions": "regime_plots",
    "plot_probabilities": "regime_plots",
}

__all__ = sorted([*_MODULES, "forest"])


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    if name == "forest":
        return import_module(f"{__name__}.forest")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
