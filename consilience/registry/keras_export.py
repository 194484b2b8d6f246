"""Writing the network of a version for other programs; nothing here is ever read back."""

import json
from pathlib import Path
from typing import Any

from consilience.registry.errors import Refused, RegistryError


def export_keras(predictor: Any, path: Path, member: str | None = None) -> list[Path]:
    """Write the network of a predictor, or of a member of an ensemble.

    Parameters
    ----------
    path : a folder for a TensorFlow SavedModel, ``….onnx``, ``….keras`` or ``….weights.h5``.

    Returns
    -------
    The files written. SavedModel and ONNX take raw rows and give probabilities or values, see
    ``keras_models.export.export_network``. The other two hold the bare network: it takes windows of scaled values
    (batch, window, features) and the number of real rows in each, and gives logits of ``classes``, or values to be
    multiplied by ``target_scale`` and added to ``target_mean``; ``….inputs.json`` beside it has these, and the means,
    scales and clipping of its inputs. To load ``.keras``, import ``consilience.keras_models.layers`` first.
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
    if path.suffix != ".keras" and not path.name.endswith(".weights.h5"):
        return [predictor.export(path, "onnx" if path.suffix == ".onnx" else "tf_saved_model")]
    from consilience.keras_models.export import bare_network

    model = bare_network(predictor)
    if path.suffix == ".keras":
        model.save(path)
    else:
        model.save_weights(path)
    beside = path.with_name(path.name + ".inputs.json")
    beside.write_text(json.dumps(inputs_and_outputs(predictor), indent=1))
    return [path, beside]


def inputs_and_outputs(predictor: Any) -> dict[str, Any]:
    """How the inputs of the bare network are made from rows, and what its outputs mean."""
    from consilience.keras_models.scaling import LIMIT

    names = getattr(predictor, "feature_names_in_", None)
    found = {
        "window": predictor.window,
        "features": None if names is None else [str(name) for name in names],
        "mean": predictor.scaler_.mean.tolist(),
        "scale": predictor.scaler_.scale.tolist(),
        "clip": LIMIT,
    }
    if hasattr(predictor, "classes_"):
        return found | {"classes": predictor.classes_.tolist()}
    target = predictor.target_scaler_
    return found | {"target_mean": target.mean.tolist(), "target_scale": target.scale.tolist()}
