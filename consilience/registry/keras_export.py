"""Writing a network in Keras's own formats, for other programs; nothing here is ever read back."""

import json
from pathlib import Path
from typing import Any

from consilience.registry.errors import Refused, RegistryError


def export_keras(predictor: Any, path: Path, member: str | None = None) -> list[Path]:
    """Write the network of a predictor, or of a member of an ensemble, and beside it how its inputs are made.

    Parameters
    ----------
    path : ``….keras``, ``….weights.h5``, or a folder for a TensorFlow SavedModel.

    Returns
    -------
    The files written: the network, and ``….inputs.json`` with window length, feature names, means, scales and the
    bound at which scaled values are clipped. The network takes windows of scaled values (batch, window, features) and
    the number of real rows in each. To load ``.keras``, give Keras the layers of ``consilience.keras_models.layers`` as
    ``custom_objects``; a SavedModel needs none.
    """
    if member is not None:
        members = getattr(predictor, "members_", {})
        if member not in members:
            raise RegistryError(f"There is no member {member!r}; there are: {', '.join(members) or 'none'}.")
        predictor = members[member]
    if not hasattr(predictor, "_architecture"):
        raise Refused(f"A {type(predictor).__name__} is no network; Keras has no format for it.")
    if path.exists():
        raise RegistryError(f"{path} exists already; give another name.")
    from consilience.keras_models.architecture import network

    architecture = predictor._architecture()
    model = network(architecture)
    for variable, value in zip(model.trainable_variables, predictor.weights_, strict=True):
        variable.assign(value)
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    elif path.suffix == ".keras":
        model.save(path)
    else:
        model.export(path, verbose=False)
    names = getattr(predictor, "feature_names_in_", None)
    inputs = {
        "window": architecture.window,
        "features": None if names is None else [str(name) for name in names],
        "mean": predictor.scaler_.mean.tolist(),
        "scale": predictor.scaler_.scale.tolist(),
        "clip": 10.0,
        "classes": predictor.classes_.tolist() if hasattr(predictor, "classes_") else None,
    }
    beside = path.with_name(path.name + ".inputs.json")
    beside.write_text(json.dumps(inputs, indent=1))
    return [path, beside]
