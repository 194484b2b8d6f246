"""The networks of ``consilience.keras_models`` written by hand in PyTorch: what their speed is compared with."""

import time
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional


class StepDropout(nn.Module):
    """Drops the same channels in every row of a window."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(rate)

    def forward(self, x: Any) -> Any:
        return x * self.drop(torch.ones(x.shape[0], 1, x.shape[2], device=x.device))


class LSTM(nn.Module):
    def __init__(self, model: Any, n_features: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_features, model.units, batch_first=True)
        self.drop = nn.Dropout(model.dropout)
        self.head = nn.Linear(model.units, 2)

    def forward(self, x: Any) -> Any:
        return self.head(self.drop(self.lstm(x)[0][:, -1]))

    def take(self, weights: list[Any]) -> None:
        kernel, recurrent, bias, head, offset = weights
        _copy(self.lstm.weight_ih_l0, kernel.T)
        _copy(self.lstm.weight_hh_l0, recurrent.T)
        _copy(self.lstm.bias_ih_l0, bias)
        nn.init.zeros_(self.lstm.bias_hh_l0).requires_grad_(False)  # cuDNN's layout has two biases, one of them in use
        _linear(self.head, head, offset)


class Transformer(nn.Module):
    """Pre-norm blocks; with ``newest_only`` the last one computes the row that is read and no other."""

    def __init__(self, model: Any, n_features: int, newest_only: bool) -> None:
        super().__init__()
        width = model.width
        self.heads, self.newest_only = model.heads, newest_only
        self.project = nn.Linear(n_features, width)
        rates = 10_000.0 ** (-torch.arange(0, width, 2) / width)
        angles = torch.arange(model.window)[:, None] * rates
        self.register_buffer("table", torch.cat([angles.sin(), angles.cos()], dim=1))
        self.norm_attention, self.norm_forward, self.norm = (nn.LayerNorm(width) for _ in range(3))
        self.qkv, self.merge = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.drop = StepDropout(model.dropout)
        self.head = nn.Linear(width, 2)

    def forward(self, x: Any) -> Any:
        x = self.project(x) + self.table
        normed, width = self.norm_attention(x), x.shape[2]
        split = (*x.shape[:2], -1, width // self.heads)
        if self.newest_only:
            query = functional.linear(normed[:, -1:], self.qkv.weight[:width])
            key, value = functional.linear(normed, self.qkv.weight[width:]).chunk(2, dim=2)
            x = x[:, -1:]
        else:
            query, key, value = self.qkv(normed).chunk(3, dim=2)
        query, key, value = (
            part.reshape(part.shape[0], part.shape[1], *split[2:]).transpose(1, 2) for part in (query, key, value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=not self.newest_only)
        x = x + self.drop(self.merge(mixed.transpose(1, 2).reshape(x.shape)))
        x = x + self.drop(self.narrow(functional.gelu(self.widen(self.norm_forward(x)))))
        return self.head(self.norm(x[:, -1]))

    def take(self, weights: list[Any]) -> None:
        (kernel, bias, *norm_a, qkv, merge, merge_b, gamma_f, beta_f, widen, widen_b, narrow, narrow_b) = weights[:-4]
        _linear(self.project, kernel, bias)
        _norm(self.norm_attention, *norm_a)
        _copy(self.qkv.weight, qkv.T)
        _linear(self.merge, merge, merge_b)
        _norm(self.norm_forward, gamma_f, beta_f)
        _linear(self.widen, widen, widen_b)
        _linear(self.narrow, narrow, narrow_b)
        _norm(self.norm, *weights[-4:-2])
        _linear(self.head, *weights[-2:])


class CNN(nn.Module):
    def __init__(self, model: Any, n_features: int) -> None:
        super().__init__()
        self.blocks, before = nn.ModuleList(), n_features
        for number in range(model.layers):
            self.blocks.append(_Block(before, model.filters, model.kernel_size, 2**number, model.dropout))
            before = model.filters
        self.head = nn.Linear(before, 2)

    def forward(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return self.head(x[:, -1])

    def take(self, weights: list[Any]) -> None:
        weights = list(weights)
        for block in self.blocks:
            block.take(weights)
        _linear(self.head, *weights)


class _Block(nn.Module):
    def __init__(self, before: int, filters: int, taps: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.reach = (taps - 1) * dilation
        self.first = nn.Conv1d(before, filters, taps, dilation=dilation)
        self.second = nn.Conv1d(filters, filters, taps, dilation=dilation)
        self.norm_first, self.norm_second = nn.LayerNorm(filters), nn.LayerNorm(filters)
        self.drop = StepDropout(dropout)
        self.match = nn.Linear(before, filters) if before != filters else nn.Identity()

    def forward(self, x: Any) -> Any:
        y = x
        for convolution, norm in ((self.first, self.norm_first), (self.second, self.norm_second)):
            y = convolution(functional.pad(y.transpose(1, 2), (self.reach, 0))).transpose(1, 2)
            y = self.drop(functional.relu(norm(y)))
        return y + self.match(x)

    def take(self, weights: list[Any]) -> None:
        for convolution in (self.first, self.second):
            kernel, bias = weights.pop(0), weights.pop(0)
            taps = convolution.kernel_size[0]
            _copy(convolution.weight, kernel.reshape(taps, -1, kernel.shape[-1]).permute(2, 1, 0))
            _copy(convolution.bias, bias)
        for norm in (self.norm_first, self.norm_second):
            _norm(norm, weights.pop(0), weights.pop(0))
        if isinstance(self.match, nn.Linear):
            _linear(self.match, weights.pop(0), weights.pop(0))


def _copy(parameter: Any, value: Any) -> None:
    with torch.no_grad():
        parameter.copy_(value)


def _linear(layer: Any, kernel: Any, bias: Any) -> None:
    _copy(layer.weight, kernel.T)
    _copy(layer.bias, bias)


def _norm(layer: Any, gamma: Any, beta: Any) -> None:
    layer.eps = 1e-5
    _copy(layer.weight, gamma)
    _copy(layer.bias, beta)


NETWORKS = {
    "LSTM": LSTM,
    "Transformer": lambda model, n: Transformer(model, n, newest_only=False),
    "Transformer, newest row": lambda model, n: Transformer(model, n, newest_only=True),
    "CNN": CNN,
}


class Training:
    """Epochs of one such network with AdamW, clipped gradients and shuffled batches, weights taken from ``model``."""

    def __init__(
        self, name: str, model: Any, X: np.ndarray, y: np.ndarray, device: str = "cpu", tf32: bool = True
    ) -> None:
        self.device = torch.device(device)
        torch.set_float32_matmul_precision("high" if tf32 else "highest")  # of a GPU
        torch.backends.cudnn.allow_tf32 = tf32
        self.net = NETWORKS[name](model, X.shape[1])
        self.net.take([torch.tensor(w) for w in model.weights_])
        self.net.to(self.device)
        scaled = torch.tensor(model.scaler_.transform(X), device=self.device)
        self.windows = scaled.unfold(0, model.window, 1).transpose(1, 2)
        self.target = torch.tensor(y[model.window - 1 :], device=self.device)
        self.batch = model.batch_size
        self.optimizer = torch.optim.AdamW(
            [p for p in self.net.parameters() if p.requires_grad], lr=1e-3, weight_decay=0.05
        )

    def logits(self, n: int) -> np.ndarray:
        """Of the first n whole windows, without dropout, (n, 2) float64."""
        self.net.eval()
        with torch.no_grad():
            out = self.net(self.windows[:n]).double().cpu().numpy()
        self.net.train()
        return out

    def loss(self, n: int) -> float:
        """Mean loss of the first n whole windows, without dropout."""
        logits = torch.tensor(self.logits(n))
        return float(functional.cross_entropy(logits, self.target[:n].cpu()))

    def epochs(self, number: int) -> float:
        """Windows per second."""
        self._wait()
        begin = time.perf_counter()
        for _ in range(number):
            for part in torch.randperm(len(self.windows), device=self.device).split(self.batch):
                self.optimizer.zero_grad()
                functional.cross_entropy(self.net(self.windows[part]), self.target[part]).backward()
                torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
                self.optimizer.step()
        self._wait()
        return number * len(self.windows) / (time.perf_counter() - begin)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
