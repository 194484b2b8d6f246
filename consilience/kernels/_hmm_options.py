"""How the HMM kernels are compiled.

What is None for one model and True for another (``full`` covariances, ``many`` states, ``smooth``) is compiled apart,
so that a model waits only for what it needs.
"""

from typing import Any, Literal

CALLED: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
INNER: dict[str, Any] = {**CALLED, "no_cpython_wrapper": True}
INLINED: dict[str, Any] = {**INNER, "forceinline": True}

Chosen = Literal[True] | None
