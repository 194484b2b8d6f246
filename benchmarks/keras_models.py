"""Speed of the sequence networks: six folds, one row, and training throughput against the same LSTM written in PyTorch.

Run ``python benchmarks/keras_models.py``; the PyTorch rows appear where torch is installed. Parity of the two LSTMs for
one set of weights is checked before anything is timed; repetitions alternate, medians are printed.
"""

import time
from importlib.util import find_spec

import numpy as np

from consilience.keras_models import LSTMClassifier, TransformerClassifier

WINDOW, FEATURES, UNITS, BATCH = 60, 32, 64, 128


def rows(n: int, features: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, features))
    return X, (X[:, 0] + rng.standard_normal(n) > 0).astype(int)


def six_folds(cls: type) -> float:
    """Seconds for six expanding folds and a refit of 10,000 rows × 20, compilation included."""
    X, y = rows(10_000, 20)
    begin = time.perf_counter()
    for fold in range(1, 7):
        end = fold * 10_000 // 7
        cut = int(0.85 * end)
        model = cls(random_state=0).fit(X[:cut], y[:cut], validation=(X[cut:end], y[cut:end]))
        model.predict_proba(X[end : end + 1400])
    cls(random_state=0).fit(X, y)
    return time.perf_counter() - begin


def one_row(model: LSTMClassifier, X: np.ndarray, repeat: int = 2000) -> float:
    """Median milliseconds of the newest row's probabilities, input checks included."""
    tail = np.ascontiguousarray(X[-model.window :])
    model.warm(1)
    seconds = []
    for _ in range(repeat):
        begin = time.perf_counter()
        model.predict_newest_proba(tail)
        seconds.append(time.perf_counter() - begin)
    return 1e3 * float(np.median(seconds))


def torch_lstm(model: LSTMClassifier, X: np.ndarray, y: np.ndarray):
    """The same network by hand: (seconds of one epoch as a function, largest difference of the logits)."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = torch.nn.LSTM(FEATURES, UNITS, batch_first=True)
            self.drop = torch.nn.Dropout(model.dropout)
            self.head = torch.nn.Linear(UNITS, 2)

        def forward(self, x):
            return self.head(self.drop(self.lstm(x)[0][:, -1]))

    net = Net()
    kernel, recurrent, bias, head, offset = (torch.tensor(w) for w in model.weights_)
    with torch.no_grad():
        net.lstm.weight_ih_l0.copy_(kernel.T)
        net.lstm.weight_hh_l0.copy_(recurrent.T)
        net.lstm.bias_ih_l0.copy_(bias)
        net.lstm.bias_hh_l0.zero_()
        net.head.weight.copy_(head.T)
        net.head.bias.copy_(offset)
    scaled = torch.tensor(model.scaler_.transform(X))
    windows = scaled.unfold(0, WINDOW, 1).transpose(1, 2)
    target = torch.tensor(y[WINDOW - 1 :])
    net.eval()
    with torch.no_grad():
        logits = net(windows[:256]).double().numpy()
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    gap = float(np.abs(proba - model.predict_proba(X[: WINDOW + 255])[WINDOW - 1 :]).max())
    net.train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.05)

    def epoch() -> float:
        begin = time.perf_counter()
        for part in torch.randperm(len(windows)).split(BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(windows[part]), target[part]).backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
        return len(windows) / (time.perf_counter() - begin)

    return epoch, gap


def throughput(repeat: int = 5) -> None:
    X, y = rows(6_000, FEATURES)
    settings = {"window": WINDOW, "batch_size": BATCH, "random_state": 0, "schedule": "constant"}
    models = {
        "LSTM": LSTMClassifier(**settings, units=UNITS, epochs=1),
        "Transformer": TransformerClassifier(**settings, width=UNITS, epochs=1),
    }
    for model in models.values():
        model.fit(X[:500], y[:500])  # compiles
    peer = gap = None
    if find_spec("torch"):
        peer, gap = torch_lstm(models["LSTM"], X, y)
        assert gap < 1e-5, f"the two LSTMs differ by {gap}"
        peer()
    rates: dict[str, list[float]] = {name: [] for name in [*models, "LSTM in PyTorch"]}
    for _ in range(repeat):
        for name, model in models.items():
            begin = time.perf_counter()
            model.fit(X, y)
            rates[name].append(len(X) / (time.perf_counter() - begin))
        if peer:
            rates["LSTM in PyTorch"].append(peer())
    for name, values in rates.items():
        if values:
            print(f"{name:18s} training   {np.median(values):10,.0f} windows/s")
    if peer:
        ratio = np.median(np.array(rates["LSTM"]) / np.array(rates["LSTM in PyTorch"]))
        print(f"LSTM over PyTorch  {ratio:.2f} x   (parity {gap:.1e})")


def main() -> None:
    for cls in (LSTMClassifier, TransformerClassifier):
        busy = time.process_time()
        wall = six_folds(cls)
        busy = time.process_time() - busy
        print(f"{cls.__name__:22s} six folds and a refit {wall:6.1f} s ({busy:.1f} s of processor time)")
    X, y = rows(500, FEATURES)
    model = LSTMClassifier(window=WINDOW, units=UNITS, epochs=1, random_state=0).fit(X, y)
    print(f"LSTM({UNITS}), {WINDOW} x {FEATURES}: one row {one_row(model, X):.3f} ms")
    throughput()


if __name__ == "__main__":
    main()
