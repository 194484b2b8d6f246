"""An LSTM over windows and its gradient, in float64, one step after another, as the equations are written."""

import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def forward(x, kernel, recurrent, bias):
    """Hidden states (n, steps, units) and, per step, the gates and memories; gates in the order i, f, g, o."""
    hidden = memory = np.zeros((len(x), len(recurrent)))
    states, kept = [], []
    for step in range(x.shape[1]):
        i, f, g, o = np.split(x[:, step] @ kernel + hidden @ recurrent + bias, 4, axis=1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        before, memory = memory, f * memory + i * g
        kept.append((i, f, g, o, before, memory, hidden))
        hidden = o * np.tanh(memory)
        states.append(hidden)
    return np.stack(states, axis=1), kept


def backward(upstream, x, kernel, recurrent, kept):
    """Gradients by x, kernel, recurrent and bias of the sum of ``upstream`` times the hidden states."""
    d_x, d_kernel, d_recurrent = np.zeros(x.shape), np.zeros(kernel.shape), np.zeros(recurrent.shape)
    d_bias, d_hidden = np.zeros(kernel.shape[1]), np.zeros_like(upstream[:, 0])
    d_memory = np.zeros_like(d_hidden)
    for step in reversed(range(x.shape[1])):
        i, f, g, o, before, memory, hidden = kept[step]
        d_hidden = d_hidden + upstream[:, step]
        d_memory = d_memory + d_hidden * o * (1 - np.tanh(memory) ** 2)
        slopes = d_memory * g * i * (1 - i), d_memory * before * f * (1 - f), d_memory * i * (1 - g**2)
        d_z = np.concatenate([*slopes, d_hidden * np.tanh(memory) * o * (1 - o)], axis=1)
        d_x[:, step] = d_z @ kernel.T
        d_kernel += x[:, step].T @ d_z
        d_recurrent += hidden.T @ d_z
        d_bias += d_z.sum(axis=0)
        d_hidden, d_memory = d_z @ recurrent.T, d_memory * f
    return d_x, d_kernel, d_recurrent, d_bias
