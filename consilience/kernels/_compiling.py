"""How kernels are compiled.

``called`` is for functions that Python calls, INNER and INLINED for those that only kernels call. What is None for one
model and True for another (``full`` covariances, ``many`` states, ``smooth``) is compiled apart, so that a model waits
only for what it needs.
"""

from collections.abc import Callable
from typing import Any, Literal

from numba import config, njit
from numba.core.codegen import get_host_cpu_features
from numba.core.compiler_lock import global_compiler_lock

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
INNER: dict[str, Any] = {**_OPTIONS, "no_cpython_wrapper": True}
INLINED: dict[str, Any] = {**INNER, "forceinline": True}

Chosen = Literal[True] | None

# NUMBA_CPU_FEATURES is for caches that several kinds of processors share
_FEATURES = (get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES).split(",")

_LEVEL = type(config.OPT)(2)


def compiled_for(feature: str) -> bool:
    """May compiled code use this feature of the processor ("avx512f")?"""
    return f"+{feature}" in _FEATURES


def called(function: Callable[..., Any]) -> Any:
    """``function`` compiled by Numba when it is first called, at LLVM's second level of optimization.

    The kernels say themselves which vectors they want: the third level takes a third longer and makes none faster.
    """
    dispatcher = njit(**_OPTIONS)(function)
    if config.DISABLE_JIT:
        return dispatcher
    compile_at_any_level = dispatcher.compile

    def compile_(signature: Any) -> Any:
        with global_compiler_lock:
            before = config.OPT
            config.OPT = min(before, _LEVEL)
            try:
                return compile_at_any_level(signature)
            finally:
                config.OPT = before

    dispatcher.compile = compile_
    return dispatcher
