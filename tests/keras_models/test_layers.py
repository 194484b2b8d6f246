"""The layers against slow numpy forms of the same formulas."""

import doctest

import keras
import numpy as np
import pytest
from keras import ops

from consilience.keras_models.layers import (
    CausalConvolution,
    CausalConvolutionBlock,
    CausalLSTM,
    CausalSelfAttention,
    FeatureGate,
    LearnedPositions,
    SequencePooling,
    SinusoidalPositions,
    StepDropout,
    TransformerBlock,
    attention,
    convolution,
    dropout,
    gate,
    initial,
    pooling,
    positions,
    recurrent,
    standardise,
)
from tests.reference import networks

pytestmark = pytest.mark.xdist_group("keras")

MODULES = [attention, convolution, dropout, gate, initial, positions, pooling, recurrent, standardise]


def sequence(batch=3, window=6, width=4, seed=0):
    return np.random.default_rng(seed).standard_normal((batch, window, width)).astype(np.float32)


def as_numpy(x):
    return ops.convert_to_numpy(x)


def randomise(layer, seed=1):
    rng = np.random.default_rng(seed)
    for variable in layer.trainable_variables:
        variable.assign(0.5 * rng.standard_normal(variable.shape).astype(np.float32))


def test_lstm_equals_keras_own():
    layer = CausalLSTM(5)
    x = sequence()
    layer(x)
    randomise(layer)
    np.testing.assert_allclose(as_numpy(layer(x)), as_numpy(layer.lstm(x)), atol=1e-6)
    assert [tuple(w.shape) for w in layer.trainable_variables] == [(4, 20), (5, 20), (20,)]


def test_the_recurrence_and_its_gradient_equal_keras_own():
    if keras.backend.backend() != "jax":
        pytest.skip("jax alone takes this path")
    import jax

    layer = CausalLSTM(5)
    x = sequence(window=7)
    layer(x)
    randomise(layer)
    weights, mix = [w.value for w in layer.trainable_variables], sequence(window=7, width=5, seed=2)

    def gradients(call):
        def objective(weights, x):
            with keras.StatelessScope(state_mapping=list(zip(layer.trainable_variables, weights))):
                return ops.sum(call(x) * mix)

        return jax.tree.leaves(jax.jit(jax.grad(objective, argnums=(0, 1)))(weights, x))

    for ours, theirs in zip(gradients(layer), gradients(layer.lstm), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_convolution_equals_keras_own():
    x = sequence(window=9)
    layer = CausalConvolution(5, kernel_size=3, dilation=2)
    layer(x)
    randomise(layer)
    theirs = keras.layers.Conv1D(5, 3, dilation_rate=2, padding="causal")
    theirs.build(x.shape)
    theirs.kernel.assign(ops.reshape(layer.kernel, (3, 4, 5)))
    theirs.bias.assign(layer.bias)
    np.testing.assert_allclose(as_numpy(layer(x)), as_numpy(theirs(x)), atol=1e-5)


@pytest.mark.parametrize("rotary", [False, True])
def test_attention_equals_the_formula_and_is_causal(rotary):
    x = sequence(width=8)
    layer = CausalSelfAttention(2, rotary)
    layer(x)
    randomise(layer)
    out = as_numpy(layer(x))
    qkv = (x @ as_numpy(layer.project.kernel)).reshape(3, 6, 3, 2, 4)
    expected = np.zeros((3, 6, 2, 4))
    for b in range(3):
        for head in range(2):
            q, k, v = (qkv[b, :, part, head] for part in range(3))
            if rotary:
                q, k = (np.stack([turn(row, t) for t, row in enumerate(part)]) for part in (q, k))
            for t in range(6):
                score = np.exp(q[t] @ k[: t + 1].T / 2.0)
                expected[b, t, head] = score / score.sum() @ v[: t + 1]
    expected = expected.reshape(3, 6, 8) @ as_numpy(layer.merge.kernel) + as_numpy(layer.merge.bias)
    np.testing.assert_allclose(out, expected, atol=1e-5)
    changed = x.copy()
    changed[:, 4:] = 9.0
    np.testing.assert_allclose(as_numpy(layer(changed))[:, :4], out[:, :4], atol=1e-6)


def turn(row, t):
    half = len(row) // 2
    angle = t * 10_000.0 ** (-2 * np.arange(half) / len(row))
    a, b = row[:half], row[half:]
    return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)])


@pytest.mark.parametrize("rotary", [False, True])
def test_the_newest_row_alone_equals_that_row_of_the_whole_block(rotary):
    x = sequence(width=8)
    layer = TransformerBlock(2, rotary=rotary)
    layer(x)
    randomise(layer)
    lengths = np.array([6, 1, 4])
    newest = np.eye(6, dtype=np.float32)[lengths - 1]
    alone = as_numpy(layer(x, newest))
    assert alone.shape == (3, 1, 8)
    np.testing.assert_allclose(alone[:, 0], as_numpy(layer(x))[np.arange(3), lengths - 1], atol=1e-5)


def test_sinusoidal_positions_count_from_the_end():
    width, window = 6, 5
    out = as_numpy(SinusoidalPositions()(np.zeros((2, window, width), np.float32), np.array([5, 2], np.int32)))
    angle = np.arange(window)[:, None] / 10_000.0 ** (np.arange(0, width, 2) / width)
    table = np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
    np.testing.assert_allclose(out[0], table, atol=1e-6)
    np.testing.assert_allclose(out[1, :2], table[-2:], atol=1e-6)


def test_learned_positions_count_from_the_end():
    layer = LearnedPositions()
    x, lengths = np.zeros((2, 5, 3), np.float32), np.array([5, 2], np.int32)
    layer(x, lengths)
    randomise(layer)
    out, table = as_numpy(layer(x, lengths)), as_numpy(layer.table)
    np.testing.assert_allclose(out[0], table, atol=1e-6)
    np.testing.assert_allclose(out[1, :2], table[-2:], atol=1e-6)


@pytest.mark.parametrize("kind", ["last", "mean", "attention"])
def test_pooling_equals_the_formula_and_never_reads_padding(kind):
    x = sequence()
    lengths = np.array([6, 1, 4], np.int32)
    layer = SequencePooling(kind)
    layer(x, lengths)
    randomise(layer)
    out = as_numpy(layer(x, lengths))
    padded = x.copy()
    for row, length in enumerate(lengths):
        padded[row, length:] = 1e3
    np.testing.assert_allclose(as_numpy(layer(padded, lengths)), out, atol=1e-5)
    expected = []
    for row, n in zip(x, lengths, strict=True):
        real = row[:n]
        if kind == "attention":
            score = np.exp(real @ as_numpy(layer.score.kernel)[:, 0] + as_numpy(layer.score.bias))
            expected.append(score / score.sum() @ real)
        else:
            expected.append(real[-1] if kind == "last" else real.mean(axis=0))
    np.testing.assert_allclose(out, expected, atol=1e-5)
    assert np.ptp(as_numpy(out)[0]) > 0 and (kind != "attention" or np.abs(out[0] - x[0].mean(axis=0)).max() > 1e-2)


def test_the_gate_equals_the_formula_and_lets_everything_pass_untrained():
    x = sequence()
    layer = FeatureGate()
    np.testing.assert_allclose(as_numpy(layer(x)), x, atol=1e-6)
    randomise(layer)
    score = np.exp(x @ as_numpy(layer.score.kernel) + as_numpy(layer.score.bias))
    np.testing.assert_allclose(as_numpy(layer(x)), x * 4 * score / score.sum(axis=-1, keepdims=True), atol=1e-5)


def test_a_convolution_block_equals_the_formula():
    x = sequence(window=7)
    layer = CausalConvolutionBlock(4, kernel_size=2, dilation=2)
    layer(x)
    randomise(layer)
    first, bias1, second, bias2, gamma1, beta1, gamma2, beta2 = (
        as_numpy(v)
        for part in (layer.first, layer.second, layer.norm_first, layer.norm_second)
        for v in part.trainable_variables
    )
    for number in range(3):
        y = np.maximum(networks.norm(networks.convolution(x[number], first, bias1, 2, 2), gamma1, beta1), 0.0)
        y = np.maximum(networks.norm(networks.convolution(y, second, bias2, 2, 2), gamma2, beta2), 0.0)
        np.testing.assert_allclose(as_numpy(layer(x))[number], x[number] + y, atol=1e-5)


def test_step_dropout_drops_whole_channels_of_a_window_and_only_while_training():
    layer = StepDropout(0.4, seed=0)
    x = np.ones((200, 6, 8), np.float32)
    np.testing.assert_array_equal(as_numpy(layer(x)), x)
    np.testing.assert_array_equal(as_numpy(layer(x, training=False)), x)
    out = as_numpy(layer(x, training=True))
    np.testing.assert_array_equal(out, np.broadcast_to(out[:, :1], out.shape))
    np.testing.assert_allclose(np.unique(out), [0.0, 1 / 0.6], rtol=1e-5)
    assert 0.35 < (out[:, 0] == 0).mean() < 0.45 and (out[:, 0] == 0).any(axis=1).mean() < 1.0
    assert len({tuple(row) for row in (out[:, 0] == 0).tolist()}) > 50, "each window draws its own"


@pytest.mark.parametrize("drawn", [initial.GlorotUniform, initial.Orthogonal, initial.SmallNormal])
def test_starting_values_follow_keras_s_seed_and_are_stored_by_name(drawn):
    def draw():
        return keras.ops.convert_to_numpy(drawn()((6, 24), "float32"))

    keras.utils.set_random_seed(3)
    first, other = draw(), draw()
    keras.utils.set_random_seed(3)
    np.testing.assert_array_equal(draw(), first)
    assert not np.array_equal(first, other) and first.dtype == np.float32
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(drawn()))
    assert type(again) is drawn


def test_starting_values_have_the_spread_of_keras_s_own():
    rng, shape = np.random.default_rng(0), (3, 40, 60)
    for own, theirs in (
        (initial.glorot_uniform(shape, rng), keras.initializers.GlorotUniform(seed=0)(shape)),
        (initial.small_normal(shape, rng), keras.initializers.RandomNormal(stddev=0.02, seed=0)(shape)),
    ):
        theirs = keras.ops.convert_to_numpy(theirs)
        np.testing.assert_allclose(
            np.quantile(own, [0.01, 0.5, 0.99]), np.quantile(theirs, [0.01, 0.5, 0.99]), rtol=0.06, atol=0.004
        )


@pytest.mark.parametrize("module", MODULES)
def test_examples(module):
    assert doctest.testmod(module).failed == 0
