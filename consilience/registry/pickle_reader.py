"""The one place that loads a pickle: a process of its own, started only by ``migration.take_over`` with trust given.

    python -m consilience.registry.pickle_reader FILE OUT [SAMPLES]

Writes the model's state to OUT and a line of JSON about its origin to the standard output.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from consilience.base import ConsilienceError
from consilience.base.persistence import write_state
from consilience.registry.adopt import as_predictor


def main() -> None:
    source, out, *samples = sys.argv[1:]
    import joblib

    model = joblib.load(source)
    if isinstance(model, dict):  # a common habit: {"model": …, "features": …}
        models = [value for value in model.values() if hasattr(value, "predict")]
        if len(models) != 1:
            raise SystemExit(f"{Path(source).name} holds a dictionary with {len(models)} models, not one")
        model = models[0]
    try:
        adopted = as_predictor(model, samples=_rows(Path(samples[0])) if samples else None)
    except ConsilienceError as error:
        raise SystemExit(str(error)) from error
    write_state(adopted.get_state(), Path(out))
    print(json.dumps({"adopted": f"{type(model).__module__.split('.')[0]}.{type(model).__name__}"}))


def _rows(path: Path) -> Any:
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    import pandas as pd

    return pd.read_csv(path).select_dtypes("number").to_numpy(np.float64)


if __name__ == "__main__":
    main()
