"""Causal Transformer encoder over a window of rows."""

from typing import Any

import keras

from consilience.keras_models.architecture import body
from consilience.keras_models.layers import (
    LearnedPositions,
    NewestRow,
    SequencePooling,
    SinusoidalPositions,
    TransformerBlock,
)
from consilience.keras_models.layers.initial import dense
from consilience.keras_models.sequence_classifier import SequenceClassifier
from consilience.keras_models.sequence_regressor import SequenceRegressor

_OPTIONS = ("width", "heads", "layers", "positions", "dropout")


@body("transformer")
def transformer_body(x: Any, lengths: Any, options: dict[str, Any]) -> Any:
    """Windows (batch, window, features), left-aligned, to representations (batch, width)."""
    x = dense(options["width"], name="project")(x)
    if options["positions"] == "sinusoidal":
        x = SinusoidalPositions(name="positions")(x, lengths)
    elif options["positions"] == "learned":
        x = LearnedPositions(name="positions")(x, lengths)
    rotary, last = options["positions"] == "rotary", options["pooling"] == "last"
    for number in range(options["layers"]):
        block = TransformerBlock(options["heads"], options["dropout"], rotary, name=f"block_{number}")
        if last and number == options["layers"] - 1:
            x = block(x, NewestRow(x.shape[1], name="newest")(lengths))
            x = keras.layers.Reshape((options["width"],), name="pool")(x)
        else:
            x = block(x)
    if not last:
        x = SequencePooling(options["pooling"], name="pool")(x, lengths)
    return keras.layers.LayerNormalization(epsilon=1e-5, name="norm")(x)


class TransformerClassifier(SequenceClassifier):
    """Causal Transformer encoder over a window of rows, with a softmax over the classes.

    Inputs are standardised by the training rows; the first rows of a series see a shorter window.

    Parameters
    ----------
    window : rows that one prediction sees, itself included.
    width, heads, layers : model width, attention heads (a divisor of the width) and blocks.
    positions : "sinusoidal", "learned", "rotary" or "none".
    dropout : rate inside the network while training.
    pooling : "last" (the newest row), "mean" or "attention" over the window.
    feature_gate : let each row weigh its own features first.
    epochs, patience : passes over the rows, at most; with ``validation``, training stops after ``patience`` of them
        without gain.
    batch_size, learning_rate, optimizer, weight_decay, clip_norm : of the training steps ("adamw", "adam" or "sgd"; the
        decay is of the kernels alone and apart from the gradient in all three, so "adam" is "adamw").
    schedule, warmup : "cosine" to zero, "constant" or "plateau" (halved after two epochs without a better validation
        loss, or training loss without ``validation``), after a linear warm-up over that share of all steps.
    accumulation : batches per weight update; they are counted on from epoch to epoch, and what is left of them after
        the last epoch, fewer than make an update, is dropped.
    augmentation : changes to training windows only, such as {"jitter": 0.1, "scaling": 0.1, "slicing": 0.3,
        "masking": 0.1}; see ``augmentation.augment``.
    precision : "float32", "bfloat16" (weights stay float32), or "auto": bfloat16 on GPUs that have it.
    device : "auto", "cpu", "gpu", "gpu:1", or "gpu:all" (each GPU of this host takes its share of every batch; jax), to
        train on; a model predicts wherever it is loaded.
    checkpoint : a folder; a training that was killed goes on from its last epoch when it is started again.
    class_weight : None, "balanced", or a dictionary of class to weight; multiplies ``sample_weight``.
    random_state : an integer >= 0: one seed gives one result on one backend. None draws a seed.

    Attributes
    ----------
    classes_ : (n_classes,) labels, in the order of the probability columns.
    n_features_in_, feature_names_in_ : what X had at ``fit`` (names only of a DataFrame).
    weights_ : list of float32 arrays.
    history_ : "loss", "learning_rate" and, with ``validation``, "val_loss": one number per epoch each.

    Raises
    ------
    InvalidInput : from ``fit``: a parameter, rows or validation rows that cannot be used.
    TrainingDiverged : from ``fit``: the loss or the weights are no longer finite.
    OutOfMemory : the device has no room for the smallest batch.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((60, 2))
    >>> model = TransformerClassifier(window=5, width=4, epochs=2, random_state=0).fit(X, (X[:, 0] > 0).astype(int))
    >>> model.predict_proba(X).shape, model.lookback
    ((60, 2), 4)

    Reference: Vaswani et al. (2017), Attention is all you need; Xiong et al. (2020) for the pre-norm form.
    """

    family = "transformer"
    own_options = _OPTIONS

    def __init__(
        self,
        *,
        window: int = 20,
        width: int = 32,
        heads: int = 2,
        layers: int = 1,
        positions: str = "sinusoidal",
        pooling: str = "last",
        feature_gate: bool = False,
        dropout: float = 0.2,
        epochs: int = 10,
        patience: int | None = 3,
        batch_size: int = 64,
        learning_rate: float = 2e-3,
        schedule: str = "cosine",
        warmup: float = 0.1,
        optimizer: str = "adamw",
        weight_decay: float = 0.05,
        clip_norm: float | None = 1.0,
        accumulation: int = 1,
        augmentation: dict[str, float] | None = None,
        precision: str = "float32",
        device: str = "auto",
        checkpoint: str | None = None,
        class_weight: Any = None,
        random_state: int | None = None,
    ) -> None:
        self._store(locals())


class TransformerRegressor(SequenceRegressor):
    """Causal Transformer encoder over a window of rows, with one linear output per target.

    Parameters as in ``TransformerClassifier``, and

    loss : "squared_error" or "huber", of the standardised target.

    Attributes and errors as in ``TransformerClassifier``, but for ``classes_``, and

    target_scaler_ : mean and deviation of the targets of rows with a weight, (n_targets,) each.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((60, 2))
    >>> model = TransformerRegressor(window=5, width=4, epochs=2, random_state=0).fit(X, X)
    >>> model.predict(X).shape
    (60, 2)
    """

    family = "transformer"
    own_options = _OPTIONS

    def __init__(
        self,
        *,
        window: int = 20,
        width: int = 32,
        heads: int = 2,
        layers: int = 1,
        positions: str = "sinusoidal",
        pooling: str = "last",
        feature_gate: bool = False,
        dropout: float = 0.2,
        epochs: int = 10,
        patience: int | None = 3,
        batch_size: int = 64,
        learning_rate: float = 2e-3,
        schedule: str = "cosine",
        warmup: float = 0.1,
        optimizer: str = "adamw",
        weight_decay: float = 0.05,
        clip_norm: float | None = 1.0,
        accumulation: int = 1,
        augmentation: dict[str, float] | None = None,
        precision: str = "float32",
        device: str = "auto",
        checkpoint: str | None = None,
        loss: str = "squared_error",
        random_state: int | None = None,
    ) -> None:
        self._store(locals())
