"""What keeping one epoch of a training costs: ``python benchmarks/keras_checkpoints.py``.

Both ways are held to the same: nothing torn after a kill, and damage noticed.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp

from consilience.base import State
from consilience.base.persistence import read_state, write_state


def main(repeat: int = 15) -> None:
    """Median milliseconds of keeping one epoch: our file, and Orbax made as safe (manifest, sync, rename)."""
    rng = np.random.default_rng(0)
    for n_arrays, side in ((24, 40), (24, 110), (110, 100)):
        arrays = {f"a{i}": rng.standard_normal((side, side)).astype(np.float32) for i in range(n_arrays)}
        writers = {
            "our file": lambda folder, _, arrays=arrays: write_state(State("Checkpoint", {}, arrays), folder / "file"),
            "PyTreeCheckpointer": partial(_orbax, ocp.PyTreeCheckpointer(), arrays),
            "StandardCheckpointer": partial(_orbax, ocp.StandardCheckpointer(), arrays),
        }
        for name, write in writers.items():
            with tempfile.TemporaryDirectory() as place:
                seconds = []
                for epoch in range(repeat):
                    begin = time.perf_counter()
                    write(Path(place), epoch)
                    seconds.append(time.perf_counter() - begin)
                _check(Path(place), arrays)
            size = sum(array.nbytes for array in arrays.values())
            print(f"{n_arrays} arrays, {size / 1e6:.2f} MB, {name:22s} {1e3 * np.median(seconds[1:]):.1f} ms")


def _check(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """What was kept last is what was given."""
    (kept,) = folder.iterdir()
    found = read_state(kept).arrays if kept.is_file() else ocp.PyTreeCheckpointer().restore(kept / "arrays")
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def _orbax(checkpointer: Any, arrays: dict[str, np.ndarray], folder: Path, epoch: int) -> None:
    draft = Path(tempfile.mkdtemp(dir=folder))
    checkpointer.save(draft / "arrays", arrays)
    getattr(checkpointer, "wait_until_finished", lambda: None)()
    digests = {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(draft.rglob("*")) if p.is_file()}
    (draft / "manifest.json").write_text(json.dumps(digests))
    for path in [*draft.rglob("*"), draft]:
        _sync(path)
    draft.rename(folder / f"epoch-{epoch}")
    _sync(folder)
    if epoch:
        shutil.rmtree(folder / f"epoch-{epoch - 1}")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


if __name__ == "__main__":
    main()
