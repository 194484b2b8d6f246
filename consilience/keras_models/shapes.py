"""The shapes of a network's weights, worked out without building it: a stored state is checked against them first."""

from typing import Any

from consilience.keras_models.architecture import Architecture

Shape = tuple[int, ...]


def weight_shapes(architecture: Architecture) -> list[Shape]:
    """Shapes of the trainable weights, in the order of ``network(architecture).trainable_variables``."""
    options = dict(architecture.options)
    n = architecture.n_features
    gate: list[Shape] = [(n, n), (n,)] if options["feature_gate"] else []
    shapes, width = {"lstm": _lstm, "transformer": _transformer, "cnn": _cnn}[architecture.family](
        architecture, options
    )
    return [*gate, *shapes, (width, architecture.n_outputs), (architecture.n_outputs,)]


def _pooling(options: dict[str, Any], width: int) -> list[Shape]:
    return [(width, 1), (1,)] if options["pooling"] == "attention" else []


def _lstm(architecture: Architecture, options: dict[str, Any]) -> tuple[list[Shape], int]:
    units, before = options["units"], architecture.n_features
    shapes: list[Shape] = []
    for _ in range(options["layers"]):
        shapes += [(before, 4 * units), (units, 4 * units), (4 * units,)]
        before = units
    return shapes + _pooling(options, units), units


def _transformer(architecture: Architecture, options: dict[str, Any]) -> tuple[list[Shape], int]:
    w = options["width"]
    shapes: list[Shape] = [(architecture.n_features, w), (w,)]
    if options["positions"] == "learned":
        shapes.append((architecture.window, w))
    block: list[Shape] = [(w,), (w,), (w, 3 * w), (w, w), (w,), (w,), (w,), (w, 2 * w), (2 * w,), (2 * w, w), (w,)]
    return shapes + block * options["layers"] + _pooling(options, w) + [(w,), (w,)], w


def _cnn(architecture: Architecture, options: dict[str, Any]) -> tuple[list[Shape], int]:
    filters, taps, before = options["filters"], options["kernel_size"], architecture.n_features
    shapes: list[Shape] = []
    for _ in range(options["layers"]):
        shapes += [(taps * before, filters), (filters,), (taps * filters, filters), (filters,)]
        shapes += [(filters,)] * 4
        if before != filters:
            shapes += [(before, filters), (filters,)]
        before = filters
    return shapes + _pooling(options, filters), filters
