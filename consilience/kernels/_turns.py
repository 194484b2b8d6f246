"""A counter that several threads draw numbers from, each number once."""

import threading
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic


def _take(typing: Any, turns: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(turns), generate


if config.DISABLE_JIT:
    _lock = threading.Lock()

    def take(turns: np.ndarray) -> int:
        """The next number of ``turns`` (1,) int64, which begins at 0."""
        with _lock:
            turns[0] += 1
            return int(turns[0]) - 1

else:
    take = intrinsic(_take)
