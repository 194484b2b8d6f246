"""Gates, motions and components of a fusion as arrays, and their validated way back."""

from typing import Any

import numpy as np

from consilience.base import Arrays, InvalidState
from consilience.ensemble.alignment import Alignment
from consilience.ensemble.components import Components
from consilience.ensemble.gates import Concatenation, Gate, GatedUnit, GroupAttention, Standard
from consilience.ensemble.stored import read_array


def gate_arrays(gate: Gate) -> Arrays:
    """The gate's arrays, by name; none for a concatenation."""
    if isinstance(gate, GatedUnit):
        return {**_standard_arrays(gate.standard), "gate_gate": gate.gate}
    if isinstance(gate, GroupAttention):
        own = {"gate_group": gate.group, "gate_score": gate.score, "gate_value": gate.value}
        return {**_standard_arrays(gate.standard), **own}
    return {}


def read_gate(arrays: Arrays, fusion: Any, n_tabular: int, n_embedded: int, n_classes: int, n_groups: int) -> Gate:
    """The gate again.

    Raises
    ------
    InvalidState : an unknown kind of fusion, wrong shapes, numbers that are not finite.
    """
    if fusion == "concatenate":
        return Concatenation()
    p = n_tabular + n_embedded
    if fusion == "gated":
        return GatedUnit(_standard(arrays, p), read_array(arrays, "gate_gate", (p + 1, n_embedded), "f"))
    if fusion != "attention":
        raise InvalidState(f"The stored model joins its columns by {fusion!r}, which this release does not know.")
    group = read_array(arrays, "gate_group", (p,), "i")
    if sorted(set(group.tolist())) != list(range(n_groups)):
        raise InvalidState(f"The stored groups of columns must be numbered from 0 to {n_groups - 1}.")
    score = read_array(arrays, "gate_score", (p + 1, n_groups), "f")
    value = read_array(arrays, "gate_value", (p + 1, n_classes - 1 if n_classes else 1), "f")
    return GroupAttention(_standard(arrays, p), group, score, value)


def read_alignment(arrays: Arrays, prefix: str) -> Alignment:
    """The motion again; a rotation that is none is refused."""
    target = arrays.get(f"{prefix}_target")
    if target is None or target.ndim != 1 or len(target) == 0:
        raise InvalidState(f"The stored array '{prefix}_target' must have one dimension.")
    width = len(target)
    rotation = read_array(arrays, f"{prefix}_rotation", (width, width), "f")
    if not np.allclose(rotation @ rotation.T, np.eye(width), atol=1e-6):
        raise InvalidState(f"The stored array '{prefix}_rotation' must be orthogonal.")
    source, target = (read_array(arrays, f"{prefix}_{name}", (width,), "f") for name in ("source", "target"))
    return Alignment(source, target, rotation)


def read_components(arrays: Arrays, prefix: str, width: int) -> Components:
    """The components again, of embeddings of that width."""
    axes = arrays.get(f"{prefix}_axes")
    if axes is None or axes.ndim != 2 or not 1 <= axes.shape[1] <= width:
        raise InvalidState(f"The stored array '{prefix}_axes' must hold 1 to {width} directions.")
    axes = read_array(arrays, f"{prefix}_axes", (width, axes.shape[1]), "f")
    return Components(read_array(arrays, f"{prefix}_mean", (width,), "f"), axes)


def _standard_arrays(standard: Standard) -> Arrays:
    return {"gate_mean": standard.mean, "gate_scale": standard.scale}


def _standard(arrays: Arrays, p: int) -> Standard:
    scale = read_array(arrays, "gate_scale", (p,), "f")
    if (scale <= 0.0).any():
        raise InvalidState("The stored scales of the columns must be positive.")
    return Standard(read_array(arrays, "gate_mean", (p,), "f"), scale)
