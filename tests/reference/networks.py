"""The three networks in plain numpy, float64, one window at a time: what every backend must give for these weights."""

import math

import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def norm(x, gamma, beta):
    mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta


def gelu(x):
    return 0.5 * x * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))


def lstm(x, weights, units):
    """x (steps, features), weights (kernel, recurrent, bias, head kernel, head bias), gates in the order i, f, g, o."""
    kernel, recurrent, bias, head, offset = weights
    hidden, memory = np.zeros(units), np.zeros(units)
    for row in x:
        i, f, g, o = np.split(row @ kernel + hidden @ recurrent + bias, 4)
        memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(memory)
    return hidden @ head + offset


def transformer(x, weights, heads, window):
    """One block, sinusoidal positions counted from the end of the window; the newest row read."""
    (project, bias, *block, gamma, beta, head, offset) = weights
    gamma1, beta1, qkv, merge, merge_bias, gamma2, beta2, widen, widen_bias, narrow, narrow_bias = block
    width = project.shape[1]
    angle = np.arange(window)[:, None] / 10_000.0 ** (np.arange(0, width, 2) / width)
    table = np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
    h = x @ project + bias + table[window - len(x) :]
    depth = width // heads
    q, k, v = np.split(norm(h, gamma1, beta1) @ qkv, 3, axis=1)
    mixed = []
    for head_number in range(heads):
        part = slice(head_number * depth, (head_number + 1) * depth)
        score = np.exp(q[-1, part] @ k[:, part].T / math.sqrt(depth))
        mixed.append(score / score.sum() @ v[:, part])
    y = h[-1] + np.concatenate(mixed) @ merge + merge_bias
    y = y + gelu(norm(y, gamma2, beta2) @ widen + widen_bias) @ narrow + narrow_bias
    return norm(y, gamma, beta) @ head + offset


def convolution(x, kernel, bias, taps, dilation):
    """Causal, zeros before the first row; kernel (taps · channels, filters), oldest tap first."""
    padded = np.concatenate([np.zeros(((taps - 1) * dilation, x.shape[1])), x])
    rows = [np.concatenate([padded[t + tap * dilation] for tap in range(taps)]) for t in range(len(x))]
    return np.array(rows) @ kernel + bias


def cnn(x, weights, taps):
    """One block (dilation 1) whose input is matched to its filters, the newest row read."""
    (first, bias1, second, bias2, gamma1, beta1, gamma2, beta2, match, match_bias, head, offset) = weights
    y = np.maximum(norm(convolution(x, first, bias1, taps, 1), gamma1, beta1), 0.0)
    y = np.maximum(norm(convolution(y, second, bias2, taps, 1), gamma2, beta2), 0.0)
    return (y + x @ match + match_bias)[-1] @ head + offset
