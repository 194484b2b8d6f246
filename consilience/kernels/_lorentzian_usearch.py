"""The Lorentzian distance as a C function, in the form that usearch calls."""

from typing import Any

import numpy as np
from numba import carray, cfunc, types

_RUN = 7  # factors between two logarithms: 1 + |x − y| <= 2¹²⁹, and 2^(7·129) is within float64, 2^(8·129) is not

_signature = types.float32(types.CPointer(types.float32), types.CPointer(types.float32), types.uint64)


@cfunc(_signature, cache=True)
def measure(left: Any, right: Any, n_features: int) -> Any:
    """Σ log(1+|xᵢ−yᵢ|) of two float32 rows, rounded to float32."""
    d: Any = np.int64(n_features)
    x, y = carray(left, d), carray(right, d)
    total = 0.0
    for start in range(0, d, _RUN):
        product = 1.0
        for i in range(start, min(start + _RUN, d)):
            product *= 1.0 + abs(np.float64(x[i]) - np.float64(y[i]))
        total += np.log(product)
    return np.float32(total)
