"""The three networks in plain numpy, float64, one window at a time: what every backend must give for these weights."""

import math

import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def softmax(x):
    return np.exp(x - x.max(axis=-1, keepdims=True)) / np.exp(x - x.max(axis=-1, keepdims=True)).sum(-1, keepdims=True)


def norm(x, gamma, beta):
    mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta


def gelu(x):
    return 0.5 * x * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))


def turned(x):
    """Rotary positions, (rows, width): pair i of row t turned by t / 10000^(2i / width)."""
    half = x.shape[1] // 2
    angle = np.arange(len(x))[:, None] / 10_000.0 ** (2 * np.arange(half) / x.shape[1])
    first, second = x[:, :half], x[:, half:]
    return np.c_[first * np.cos(angle) - second * np.sin(angle), second * np.cos(angle) + first * np.sin(angle)]


def convolution(x, kernel, bias, taps, dilation):
    """Causal, zeros before the first row; kernel (taps · channels, filters), oldest tap first."""
    padded = np.concatenate([np.zeros(((taps - 1) * dilation, x.shape[1])), x])
    rows = [np.concatenate([padded[t + tap * dilation] for tap in range(taps)]) for t in range(len(x))]
    return np.array(rows) @ kernel + bias


def outputs(model, x):
    """Logits or standardised values of one window x (rows, features) of a fitted model, by its parameters."""
    weights = [w.astype(np.float64) for w in model.weights_]
    left = iter(weights)

    def take(n):
        return [next(left) for _ in range(n)]

    if model.feature_gate:
        kernel, bias = take(2)
        x = x * softmax(x @ kernel + bias) * x.shape[1]
    x = {"lstm": lstm, "transformer": transformer, "cnn": cnn}[model.family](model, x, take)
    if model.pooling == "attention":
        kernel, bias = take(2)
        pooled = softmax((x @ kernel + bias)[:, 0]) @ x
    else:
        pooled = x.mean(axis=0) if model.pooling == "mean" else x[-1]
    if model.family == "transformer":
        pooled = norm(pooled, *take(2))
    head, offset = take(2)
    assert next(left, None) is None, "a weight was not used"
    return pooled @ head + offset


def lstm(model, x, take):
    """Gates in the order i, f, g, o."""
    for _ in range(model.layers):
        kernel, recurrent, bias = take(3)
        hidden, memory, out = np.zeros(model.units), np.zeros(model.units), []
        for row in x:
            i, f, g, o = np.split(row @ kernel + hidden @ recurrent + bias, 4)
            memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(g)
            hidden = sigmoid(o) * np.tanh(memory)
            out.append(hidden)
        x = np.array(out)
    return x


def transformer(model, x, take):
    """Every block on every row; positions are counted from the end of the window."""
    project, bias = take(2)
    x, width, window = x @ project + bias, model.width, model.window
    if model.positions == "sinusoidal":
        angle = np.arange(window)[:, None] / 10_000.0 ** (np.arange(0, width, 2) / width)
        x = x + np.concatenate([np.sin(angle), np.cos(angle)], axis=1)[window - len(x) :]
    elif model.positions == "learned":
        x = x + take(1)[0][window - len(x) :]
    depth = width // model.heads
    for _ in range(model.layers):
        gamma1, beta1, qkv, merge, merge_bias, gamma2, beta2, widen, widen_bias, narrow, narrow_bias = take(11)
        parts = np.split(norm(x, gamma1, beta1) @ qkv, 3, axis=1)
        mixed = []
        for number in range(model.heads):
            q, k, v = (part[:, number * depth : (number + 1) * depth] for part in parts)
            if model.positions == "rotary":
                q, k = turned(q), turned(k)
            seen = [softmax(q[t] @ k[: t + 1].T / math.sqrt(depth)) @ v[: t + 1] for t in range(len(x))]
            mixed.append(np.array(seen))
        x = x + np.concatenate(mixed, axis=1) @ merge + merge_bias
        x = x + gelu(norm(x, gamma2, beta2) @ widen + widen_bias) @ narrow + narrow_bias
    return x


def cnn(model, x, take):
    """Blocks of doubling dilation, the input matched to the filters where it has another width."""
    for number in range(model.layers):
        first, bias1, second, bias2, gamma1, beta1, gamma2, beta2 = take(8)
        match = take(2) if x.shape[1] != model.filters else None
        y = np.maximum(norm(convolution(x, first, bias1, model.kernel_size, 2**number), gamma1, beta1), 0.0)
        y = np.maximum(norm(convolution(y, second, bias2, model.kernel_size, 2**number), gamma2, beta2), 0.0)
        x = y + (x if match is None else x @ match[0] + match[1])
    return x
