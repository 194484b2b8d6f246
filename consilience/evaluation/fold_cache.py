"""Folds that are already done, kept in a folder, so that an interrupted run goes on where it stopped."""

import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from consilience import __version__
from consilience.evaluation.fold_output import FoldOutput


class FoldCache:
    """One ``.npz`` file per finished fold, named after everything that its result depends on; no pickle.

    Parameters
    ----------
    folder : where the files lie; it is created.
    content : whatever the outputs depend on (predictor, data, weights); hashed once.
    """

    def __init__(self, folder: str | Path, content: Any):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        # The same network trains differently on another backend, so the backend belongs to the key.
        self.content = joblib.hash((__version__, os.environ.get("KERAS_BACKEND", ""), content))

    def path(self, train: np.ndarray, test: np.ndarray) -> Path:
        """The file of one fold."""
        return self.folder / f"{joblib.hash((self.content, train, test))}.npz"

    def read(self, train: np.ndarray, test: np.ndarray) -> FoldOutput | None:
        """The fold's output, or None where it is not there or cannot be read (it is then computed again)."""
        try:
            with np.load(self.path(train, test), allow_pickle=False) as file:
                fit_seconds, predict_seconds = file["seconds"].tolist()
                history = json.loads(bytes(file["history"]).decode())
                output = FoldOutput(
                    file["rows"], file["output"], fit_seconds, predict_seconds, history, file["base_rate"]
                )
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            return None
        usable = np.array_equal(output.rows, test) and len(output.output) == len(test)
        return output if usable else None

    def write(self, train: np.ndarray, test: np.ndarray, fold: FoldOutput) -> None:
        """Keep one fold; the file appears whole or not at all."""
        handle, name = tempfile.mkstemp(dir=self.folder, suffix=".partial")
        with os.fdopen(handle, "wb") as file:
            np.savez(
                file,
                rows=fold.rows,
                output=fold.output,
                seconds=np.array([fold.fit_seconds, fold.predict_seconds]),
                history=np.frombuffer(json.dumps(fold.history).encode(), np.uint8),
                base_rate=np.empty(0) if fold.base_rate is None else fold.base_rate,
            )
        Path(name).replace(self.path(train, test))
