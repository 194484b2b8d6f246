"""Train eight members and their stack on daily index data, judge, store, and predict: python examples/train.py"""

import sys

from consilience.data import build_features, load_demo
from consilience.registry import Registry
from consilience.serving import Live
from consilience.training import Config, train


def main(overrides: list[str]) -> None:
    config = Config.load("demo", overrides)
    result = train(config)

    for row in result.leaderboard:
        interval = row.intervals.get("log_loss")
        bounds = f"{interval.lower:.4f} to {interval.upper:.4f}" if interval else ""
        print(f"{row.name:18s} log loss {row.metrics.get('log_loss', float('nan')):.4f} {bounds}")
    print(result.summary)
    for delivered in result.holdout:
        print(delivered.sentence)

    live = Live.load(Registry(config.output.registry), result.version.ref)
    bars = load_demo()
    print(f"{result.version.ref} says:\n{live.predict_bars(bars)}")
    features = build_features(bars, live.features)
    print(live.predictor.explain(features).frame(features.index).tail(2).T)
    print(f"report: {result.report}")


if __name__ == "__main__":
    main(sys.argv[1:])
