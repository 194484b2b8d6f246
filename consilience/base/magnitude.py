"""Dividing by a power of two before squaring, so that very large and very small numbers survive it exactly."""

import numpy as np

SMALLEST = 1e-290  # a column with a smaller standard deviation counts as constant: dividing by it would overflow


def magnitude(values: np.ndarray) -> float:
    """The power of two just below the largest absolute value, 1 where there is none but 0.

    Dividing by it is exact (but for subnormal results), so that whatever is computed from the quotients has the same
    bits as without, and their squares neither overflow nor vanish.

    >>> magnitude(np.array([3.0, -5.0])), magnitude(np.zeros(2)), magnitude(np.array([1e300])) > 1e299
    (4.0, 1.0, True)
    """
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0.0 or not np.isfinite(largest):
        return 1.0
    return float(np.ldexp(1.0, max(int(np.frexp(largest)[1]) - 1, -1022)))
