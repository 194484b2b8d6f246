"""Named arrays as one Orbax checkpoint, and back, with every declared size checked before Orbax reads it.

All arrays of one type are laid end to end in one array, whose key is the type's name: keys are generated (Orbax
confuses dotted ones), empty arrays need no place, and a checkpoint has at most twelve chunks however many arrays a
model has. Chunks are written uncompressed, so the size of a file on the disk is the size of the array in memory, and a
small file cannot unfold into a large array.
"""

import contextlib
import logging
import math
import os
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from consilience.base import InvalidState
from consilience.registry.errors import DamagedArtifact
from consilience.registry.manifest import LIMITS, Limits, parse_json, read_limited

DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(name).newbyteorder("<")
    for name in (
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "float32",
        "float64",
    )
}
_CODE = re.compile(r"\[os_error_code='(\d+)'\]")
_BY_TYPE = {dtype: name for name, dtype in DTYPES.items()}

_lock = threading.Lock()  # one Orbax handler per process, used by one thread at a time
_checkpointer: Any = None


def pack(arrays: list[np.ndarray]) -> tuple[dict[str, np.ndarray], list[list[Any]]]:
    """Lay arrays end to end by type.

    Returns
    -------
    packed : type name to 1-D array, only types with at least one element.
    places : per array ``[type name, shape]``; where it begins follows from those before it.
    """
    parts: dict[str, list[np.ndarray]] = {}
    places: list[list[Any]] = []
    for array in arrays:
        key = _BY_TYPE.get(array.dtype.newbyteorder("<"))
        if key is None:
            raise InvalidState(f"An array of type {array.dtype} cannot be stored; use one of {', '.join(DTYPES)}.")
        places.append([key, list(array.shape)])
        parts.setdefault(key, []).append(np.ascontiguousarray(array, DTYPES[key]).ravel())
    return {key: np.concatenate(own) for key, own in parts.items() if any(part.size for part in own)}, places


def unpack(packed: Mapping[str, np.ndarray], places: list[Any]) -> list[np.ndarray]:
    """The arrays at these places, in order; the inverse of ``pack``. They are views, no two of them overlap."""
    filled = dict.fromkeys(packed, 0)
    arrays = []
    for place in places:
        match place:
            case [str(key), list(shape)] if key in DTYPES and len(shape) <= 16:
                pass
            case _:
                raise DamagedArtifact(f"An array is described as {place!r:.80}.")
        if any(type(side) is not int or not 0 <= side < 1 << 48 for side in shape):
            raise DamagedArtifact(f"An array has the shape {shape!r:.80}.")
        size = math.prod(shape)
        start = filled.get(key, 0)
        if size == 0:
            arrays.append(np.empty([min(side, 1 << 31) for side in shape], DTYPES[key]))
            continue
        if key not in packed or start + size > len(packed[key]):
            raise DamagedArtifact(f"An array of shape {shape!r:.80} is larger than what is stored.")
        arrays.append(packed[key][start : start + size].reshape(shape))
        filled[key] = start + size
    if any(filled[key] != len(packed[key]) for key in packed):
        raise DamagedArtifact("More is stored than the arrays need.")
    return arrays


def save(packed: Mapping[str, np.ndarray], folder: Path) -> None:
    """Write a checkpoint into a folder that does not exist yet and that no other process uses; syncs nothing.

    Raises
    ------
    OSError : the disk refused.
    """
    import orbax.checkpoint as ocp

    try:
        with _lock, _quiet():
            _handler().save(folder.absolute(), args=ocp.args.PyTreeSave(dict(packed)))
    except ValueError as error:  # what TensorStore makes of every error
        code = _CODE.search(str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(folder)) from error
    (folder / "commit_success.txt").unlink(missing_ok=True)  # it names the staging folder; only object stores need it


def restore(folder: Path, sizes: Mapping[str, int], limits: Limits = LIMITS) -> dict[str, np.ndarray]:
    """Read a checkpoint whose arrays are declared to be of these types and lengths.

    Raises
    ------
    DamagedArtifact : the files on the disk are not exactly those that such a checkpoint has.
    """
    check(folder, sizes, limits)
    import orbax.checkpoint as ocp

    wanted = {key: ocp.RestoreArgs(restore_type=np.ndarray) for key in sizes}
    try:
        with _lock:
            found = _handler().restore(folder.absolute(), args=ocp.args.PyTreeRestore(restore_args=wanted))
    except (ValueError, TypeError, KeyError, OSError, NotImplementedError) as error:
        raise DamagedArtifact(f"The checkpoint cannot be read ({type(error).__name__}).") from error
    for key, size in sizes.items():
        array = found.get(key)
        if not isinstance(array, np.ndarray) or array.dtype != DTYPES[key] or array.shape != (size,):
            raise DamagedArtifact(f"The checkpoint's {key} array is not what its description says.")
    return dict(found)


def check(folder: Path, sizes: Mapping[str, int], limits: Limits = LIMITS) -> None:
    """Compare a checkpoint's own descriptions and file sizes with what is declared, reading no array."""
    total = 0
    for key, size in sizes.items():
        if key not in DTYPES or not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise DamagedArtifact(f"The checkpoint is declared to hold {size!r:.40} elements of {key!r:.40}.")
        total += size * DTYPES[key].itemsize
    if total > limits.total_bytes:
        raise DamagedArtifact(f"The checkpoint declares {total} bytes; the limit is {limits.total_bytes}.")
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    expected = {"_METADATA", "_CHECKPOINT_METADATA"}
    expected |= {f"{key}/{name}" for key in sizes for name in (".zarray", "0")}
    if present != expected:
        raise DamagedArtifact(f"The checkpoint has other files than its arrays need: {sorted(present ^ expected)[:2]}.")
    for key, size in sizes.items():
        described = parse_json(read_limited(folder / key / ".zarray", 4096), f"the description of {key}")
        if described != _zarray(key, size):
            raise DamagedArtifact(f"The checkpoint's description of its {key} array differs from the declared one.")
        if (folder / key / "0").stat().st_size != size * DTYPES[key].itemsize:
            raise DamagedArtifact(f"The checkpoint's {key} array has not the declared size.")
    _check_metadata(folder, set(sizes))


def _zarray(key: str, size: int) -> dict[str, Any]:
    dtype = DTYPES[key].str.replace("=", "<")
    return {
        "chunks": [size], "compressor": None, "dimension_separator": ".", "dtype": dtype, "fill_value": None,
        "filters": None, "order": "C", "shape": [size], "zarr_format": 2,
    }  # fmt: skip


def _check_metadata(folder: Path, keys: set[str]) -> None:
    """Orbax's own two JSON files may say only what a checkpoint of these flat keys says."""
    tree = parse_json(read_limited(folder / "_METADATA", 65_536), "the checkpoint's _METADATA")
    expected = {
        str((key,)): {
            "key_metadata": [{"key": key, "key_type": 2}],
            "value_metadata": {"value_type": "np.ndarray", "skip_deserialize": False},
        }
        for key in keys
    }
    plain = {
        "use_ocdbt": False,
        "use_zarr3": False,
        "store_array_data_equal_to_fill_value": True,
        "custom_metadata": None,
    }
    if tree != {"tree_metadata": expected, **plain}:
        raise DamagedArtifact("The checkpoint's _METADATA describes something else than flat arrays.")
    general = parse_json(read_limited(folder / "_CHECKPOINT_METADATA", 65_536), "the checkpoint's _CHECKPOINT_METADATA")
    handler = "orbax.checkpoint._src.handlers.pytree_checkpoint_handler.PyTreeCheckpointHandler"
    times = {"init_timestamp_nsecs", "commit_timestamp_nsecs"}
    fixed = {"item_handlers": handler, "metrics": {}, "performance_metrics": {}, "custom_metadata": {}}
    if not isinstance(general, dict) or {k: v for k, v in general.items() if k not in times} != fixed:
        raise DamagedArtifact("The checkpoint's _CHECKPOINT_METADATA is not one that this release writes.")
    if any(type(general.get(time)) is not int for time in times):
        raise DamagedArtifact("The checkpoint's times are not numbers.")


def _handler() -> Any:
    global _checkpointer
    if _checkpointer is None:
        import orbax.checkpoint as ocp

        # zarr 2 without OCDBT and without compression: the one layout whose files can be checked by eye.
        layout = {"use_ocdbt": False, "use_zarr3": False, "use_compression": False}
        types = ocp.type_handlers.create_type_handler_registry((np.ndarray, _unsynced()))
        with _quiet():
            _checkpointer = ocp.Checkpointer(ocp.PyTreeCheckpointHandler(**layout, type_handler_registry=types))
    return _checkpointer


def _unsynced() -> Any:
    """Orbax's handler of arrays, without a sync after each file: whoever saves syncs the whole folder at once."""
    import orbax.checkpoint as ocp
    import tensorstore

    context = tensorstore.Context({"file_io_sync": False})

    class Unsynced(ocp.type_handlers.NumpyHandler):
        async def serialize(self, values: Any, infos: Any, args: Any = None) -> Any:
            for info in infos:
                info.ts_context = context
            return await super().serialize(values, infos, args)

    return Unsynced()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Orbax warns that it merges no OCDBT files and handles no jax.Array, of which there are none, and logs errors that
    it raises too.
    """
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def describe(packed: Mapping[str, np.ndarray]) -> dict[str, int]:
    """The sizes that ``restore`` wants to be told."""
    return {key: len(array) for key, array in packed.items()}
