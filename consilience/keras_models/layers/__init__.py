"""Small Keras layers that the networks are made of, written with ``keras.ops`` only.

Sequences come left-aligned: real rows first, padding after them, ``lengths`` (batch,) saying how many are real. Every
layer here is causal, so padding cannot reach an output that is used.

Importing this package makes the layers known to ``keras.models.load_model``, for networks that were exported.
"""

import keras

from consilience.keras_models.layers.attention import CausalSelfAttention, TransformerBlock
from consilience.keras_models.layers.convolution import CausalConvolution, CausalConvolutionBlock
from consilience.keras_models.layers.dropout import StepDropout
from consilience.keras_models.layers.gate import FeatureGate
from consilience.keras_models.layers.pooling import NewestRow, SequencePooling
from consilience.keras_models.layers.positions import LearnedPositions, SinusoidalPositions, rotate
from consilience.keras_models.layers.recurrent import CausalLSTM

__all__ = [
    "CausalConvolution",
    "CausalConvolutionBlock",
    "CausalLSTM",
    "CausalSelfAttention",
    "FeatureGate",
    "LearnedPositions",
    "NewestRow",
    "SequencePooling",
    "SinusoidalPositions",
    "StepDropout",
    "TransformerBlock",
    "rotate",
]

for _layer in (
    CausalConvolution,
    CausalConvolutionBlock,
    CausalLSTM,
    CausalSelfAttention,
    FeatureGate,
    LearnedPositions,
    NewestRow,
    SequencePooling,
    SinusoidalPositions,
    StepDropout,
    TransformerBlock,
):
    keras.saving.register_keras_serializable("consilience")(_layer)
