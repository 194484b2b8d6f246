"""The LSTM kernel as a custom call of XLA on the CPU, through its foreign-function interface.

XLA calls ``forward`` and ``backward`` with a frame that holds the arrays' addresses and shapes; the offsets below are
those of ``xla/ffi/api/c_api.h``, version 0.3, which is also what the functions answer when they are asked (XLA refuses
a version that it cannot serve). Blocks are taken from a counter by the calling thread and by tasks on XLA's own thread
pool. The caller waits only for blocks that another thread has begun, so it also finishes on a pool without a thread to
spare; a task that comes too late finds nothing to do. Whoever leaves last frees the work's memory.

Arrays, in order. forward: x, kernel, recurrent, bias -> hidden, kept, packed, scratch. backward: upstream, x, kernel,
recurrent, hidden, kept -> d_kernel, d_recurrent, d_bias, packed, scratch, partial, and d_x where it is wanted.
"""

from typing import Any

from llvmlite import ir
from numba import carray, cfunc, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from consilience.kernels._lstm_blocks import (
    BACKWARD,
    BIAS,
    BLOCKS,
    D_BIAS,
    D_KERNEL,
    D_RECURRENT,
    D_X,
    DONE,
    FEATURES,
    HIDDEN,
    INNER,
    KEPT,
    KEPT_STEPS,
    KERNEL,
    N_WORDS,
    NEXT,
    PACKED,
    PARTIAL,
    RECURRENT,
    REFERENCES,
    SCRATCH,
    STEPS,
    UNITS,
    UPSTREAM,
    N,
    X,
    add_partial,
    n_blocks,
    pack_backward,
    pack_forward,
    take_blocks,
)
from consilience.kernels._lstm_lanes import compiled, count, named, words

API_VERSION = (0, 3)
# fields of XLA_FFI_CallFrame, its argument and result lists included
_EXTENSION, _API, _CONTEXT, _ARGUMENTS, _N_RESULTS, _RESULTS = 8, 16, 24, 72, 96, 112
# XLA_FFI_Metadata_Extension and XLA_FFI_Metadata
_METADATA, _VERSION, _TRAITS = 24, 24, 32
# XLA_FFI_Buffer
_DATA, _DIMS = 24, 40
# XLA_FFI_Api
_ERROR_DESTROY, _SCHEDULE, _N_THREADS = 64, 136, 144

_WORD = ir.IntType(64)


def _place(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, _WORD.as_pointer())


@intrinsic
def _load(typing: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_place(builder, args[0]))

    return types.int64(types.int64), generate


@intrinsic
def _load_shared(typing: Any, address: Any) -> Any:
    """A counter, and all that its last writer did before."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load_atomic(_place(builder, args[0]), "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def _store(typing: Any, address: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[1], _place(builder, args[0]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def _malloc(typing: Any, size: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(_WORD, [_WORD])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, "malloc"), args)

    return types.int64(types.int64), generate


@intrinsic
def _free(typing: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_WORD])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, "free"), args)
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def _give_way(typing: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def _call(typing: Any, function: Any, argument: Any) -> Any:
    """A C function of one address, by its own; what it gives back, as a word."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(_WORD, [_WORD])
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), [args[1]])

    return types.int64(types.int64, types.int64), generate


@intrinsic
def _task(typing: Any) -> Any:
    """The address of ``_help``, an XLA_FFI_Task."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_WORD])
        return builder.ptrtoint(cgutils.get_or_insert_function(builder.module, kind, "consilience_lstm_help"), _WORD)

    return types.int64(), generate


@compiled(1)
def _leave(work):  # type: ignore[no-untyped-def]
    if count(work + 8 * REFERENCES, -1) == 1:
        _free(work)


leave = named(_leave)


@compiled(1)
def _help(work):  # type: ignore[no-untyped-def]
    take_blocks((work,))
    leave((work,))


named(_help)


@compiled(3)
def _discard(error, api, work):  # type: ignore[no-untyped-def]
    asked = carray(words(work + 8 * N_WORDS), (3,))
    asked[0], asked[1], asked[2] = 24, 0, error
    _call(_load(api + _ERROR_DESTROY), work + 8 * N_WORDS)


discard = named(_discard)


@compiled(2)
def _compute(work, frame):  # type: ignore[no-untyped-def]
    """All blocks, with the help of XLA's threads; the work's memory is given up."""
    w = carray(words(work), (N_WORDS,))
    w[BLOCKS] = n_blocks(w[N])
    w[NEXT] = w[DONE] = 0
    api, context = _load(frame + _API), _load(frame + _CONTEXT)
    asked = carray(words(work + 8 * N_WORDS), (6,))
    asked[:] = 0
    asked[0], asked[2], asked[3] = 32, context, work + 8 * (N_WORDS + 5)
    helpers = 0
    error = _call(_load(api + _N_THREADS), work + 8 * N_WORDS)
    if error:
        discard((error, api, work))
    else:
        helpers = min(asked[5], w[BLOCKS]) - 1
    w[REFERENCES] = 1 + max(helpers, 0)
    for _ in range(helpers):
        asked[0], asked[1], asked[2], asked[3], asked[4] = 40, 0, context, _task(), work
        error = _call(_load(api + _SCHEDULE), work + 8 * N_WORDS)
        if error:
            discard((error, api, work))
            leave((work,))
    take_blocks((work,))
    while _load_shared(work + 8 * DONE) < w[BLOCKS]:
        _give_way()
    if w[BACKWARD]:
        add_partial((work,))
    leave((work,))


compute = named(_compute)


@njit(**INNER)
def _begun(frame: int, first: int) -> int:
    """Memory for the work's words and XLA's structures, with the shape of x (argument ``first``) and the units."""
    work = _malloc(8 * (N_WORDS + 6))
    for word in range(N_WORDS):
        _store(work + 8 * word, 0)
    _store(work + 8 * BACKWARD, first)
    arguments = _load(frame + _ARGUMENTS)
    shape = _load(_load(arguments + 8 * first) + _DIMS)
    _store(work + 8 * N, _load(shape))
    _store(work + 8 * STEPS, _load(shape + 8))
    _store(work + 8 * FEATURES, _load(shape + 16))
    _store(work + 8 * UNITS, _load(_load(_load(arguments + 8 * (first + 2)) + _DIMS)))
    return work


@compiled(4)
def _take(array, number, work, word):  # type: ignore[no-untyped-def]
    """The address of one of a list's arrays becomes a word."""
    _store(work + 8 * word, _load(_load(array + 8 * number) + _DATA))


take = named(_take)


@njit(**INNER)
def _asked_for_version(frame: int) -> bool:
    extension = _load(frame + _EXTENSION)
    if extension == 0:
        return False
    _store(_load(extension + _METADATA) + _VERSION, API_VERSION[0] + (API_VERSION[1] << 32))
    return True


@cfunc(types.int64(types.int64), cache=True)
def forward(frame: int) -> int:
    if _asked_for_version(frame):
        return 0
    work = _begun(frame, 0)
    given, made = _load(frame + _ARGUMENTS), _load(frame + _RESULTS)
    for number, word in enumerate((X, KERNEL, RECURRENT, BIAS)):
        take((given, number, work, word))
    for number, word in enumerate((HIDDEN, KEPT, PACKED, SCRATCH)):
        take((made, number, work, word))
    _store(work + 8 * KEPT_STEPS, _load(_load(_load(made + 8) + _DIMS)))
    pack_forward((work,))
    compute((work, frame))
    return 0


@cfunc(types.int64(types.int64), cache=True)
def backward(frame: int) -> int:
    if _asked_for_version(frame):
        return 0
    work = _begun(frame, 1)
    given, made = _load(frame + _ARGUMENTS), _load(frame + _RESULTS)
    for number, word in enumerate((UPSTREAM, X, KERNEL, RECURRENT, HIDDEN, KEPT)):
        take((given, number, work, word))
    for number, word in enumerate((D_KERNEL, D_RECURRENT, D_BIAS, PACKED, SCRATCH, PARTIAL)):
        take((made, number, work, word))
    if _load(frame + _N_RESULTS) > 6:
        take((made, 6, work, D_X))
    pack_backward((work,))
    compute((work, frame))
    return 0
