"""An LSTM over windows and its gradient, a block of windows at a time: all steps of a block while it is in the cache.

Memory is addressed directly, because the same code runs on NumPy arrays (``_lstm``) and inside a compiled JAX program
(``_lstm_call``). One call's work is a row of int64 words, named by ``WORK``. Blocks are independent, and what they add
to the weights' gradient is summed in their order, so results do not depend on who computes which. Not used when the JIT
is disabled.
"""

from typing import Any

from numba import carray, njit
from numba.extending import register_jitable

from consilience.kernels._lstm_lanes import (
    BYTES,
    LANES,
    ROWS,
    VECTORS,
    add,
    add_product,
    backward_cell,
    clear,
    compiled,
    copy,
    copy_column,
    copy_half,
    count,
    forward_tile,
    named,
    words,
)

BLOCK = 32  # windows per block

WORK = [
    "next", "done", "references", "blocks", "backward", "n", "steps", "features", "units", "kept_steps",
    "x", "kernel", "recurrent", "bias", "packed", "kept", "hidden", "scratch", "upstream", "partial",
    "d_x", "d_kernel", "d_recurrent", "d_bias",
]  # fmt: skip
(
    NEXT, DONE, REFERENCES, BLOCKS, BACKWARD, N, STEPS, FEATURES, UNITS, KEPT_STEPS,
    X, KERNEL, RECURRENT, BIAS, PACKED, KEPT, HIDDEN, SCRATCH, UPSTREAM, PARTIAL, D_X, D_KERNEL, D_RECURRENT, D_BIAS,
) = range(len(WORK))  # fmt: skip
N_WORDS = len(WORK)

_SPAN = VECTORS * LANES
_PADDED_ROWS = -(-BLOCK // ROWS) * ROWS
_CHUNK = 64  # gates per pass of a product with the turned kernels: what stays in the first cache
INNER: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "no_cpython_wrapper": True}


# -- sizes -----------------------------------------------------------------------------------------------------------


@register_jitable
def _up(value: int, unit: int) -> int:
    return (value + unit - 1) // unit * unit


@register_jitable
def n_blocks(n: int) -> int:
    return (n + BLOCK - 1) // BLOCK


@register_jitable
def packed_size(features: int, units: int, backward: bool) -> int:
    """Floats of the weights in the order in which the kernel reads them."""
    gates = 4 * _up(units, LANES)
    if backward:
        return gates * (_up(units, _SPAN) + _up(features, _SPAN))
    return gates * (features + _up(units, LANES) + 1)


@register_jitable
def kept_size(n: int, steps: int, units: int) -> int:
    """Floats of the gates and memories of so many steps."""
    return n_blocks(n) * steps * _PADDED_ROWS * 5 * _up(units, LANES)


@register_jitable
def _inputs_row(features: int, units: int) -> int:
    return _up(features + _up(units, LANES), ROWS)


@register_jitable
def _gates_row(units: int) -> int:
    return 4 * _up(units, LANES) + 16  # not a multiple of the first cache's stride


@register_jitable
def scratch_size(n: int, features: int, units: int, backward: bool) -> int:
    """Floats that the blocks write and nobody reads afterwards."""
    inputs, padded = _inputs_row(features, units), _up(units, LANES)
    if not backward:
        return n_blocks(n) * (2 * _PADDED_ROWS * inputs + LANES)
    row = inputs + _gates_row(units) + _up(units, _SPAN) + padded + _up(features, _SPAN)
    return n_blocks(n) * (_PADDED_ROWS * row + LANES)


@register_jitable
def partial_size(n: int, features: int, units: int) -> int:
    """Floats of the blocks' parts of the weights' gradient."""
    return n_blocks(n) * 4 * _up(units, LANES) * (_inputs_row(features, units) + 1)


# -- forward ---------------------------------------------------------------------------------------------------------


@compiled(1)
def _pack_forward(work):  # type: ignore[no-untyped-def]
    """(unit block, input or unit, gate, lane), then the bias (unit block, gate, lane); the sigmoids' halved."""
    w = carray(words(work), (N_WORDS,))
    features, units, out = w[FEATURES], w[UNITS], w[PACKED]
    padded = _up(units, LANES)
    rows = features + padded
    clear((out, packed_size(features, units, False)))
    for block in range(padded // LANES):
        width = min(LANES, units - block * LANES)
        for gate in range(4):
            column = gate * units + block * LANES
            for row in range(features + units + 1):
                source, at = w[BIAS], padded * rows * 4 + (block * 4 + gate) * LANES
                if row < features + units:
                    inner = row >= features
                    source = w[RECURRENT] if inner else w[KERNEL]
                    source += 4 * (row - features if inner else row) * 4 * units
                    at = ((block * rows + row) * 4 + gate) * LANES
                if gate == 2:
                    copy((source + 4 * column, out + 4 * at, width))
                else:
                    copy_half((source + 4 * column, out + 4 * at, width))


pack_forward = named(_pack_forward)


@compiled(2)
def _forward_block(work, block):  # type: ignore[no-untyped-def]
    w = carray(words(work), (N_WORDS,))
    n, steps, features, units, kept_steps = w[N], w[STEPS], w[FEATURES], w[UNITS], w[KEPT_STEPS]
    padded = _up(units, LANES)
    rows, row, n_unit_blocks = features + padded, _inputs_row(features, units), padded // LANES
    first = block * BLOCK
    real = min(BLOCK, n - first)
    size = _PADDED_ROWS * row
    start = w[SCRATCH] + 4 * block * (2 * size + LANES)
    clear((start, 2 * size + LANES))
    nothing, kept_row = start + 8 * size, 5 * BYTES * n_unit_blocks
    bias = w[PACKED] + 16 * padded * rows
    last = w[KEPT]
    for step in range(steps):
        here, there = (step % 2) * size, ((step + 1) % 2) * size
        for r in range(real):
            given = ((first + r) * steps + step) * features
            copy((w[X] + 4 * given, start + 4 * (here + r * row), features))
        kept = w[KEPT] + (block * kept_steps + step % kept_steps) * _PADDED_ROWS * kept_row
        for unit_block in range(n_unit_blocks):
            packed = w[PACKED] + unit_block * rows * VECTORS * BYTES
            for r in range(0, real, ROWS):
                at = r * kept_row + unit_block * 5 * BYTES
                before, before_row = (last + at + 4 * BYTES, kept_row) if step else (nothing, 0)
                forward_tile((
                    start + 4 * (here + r * row), 4 * row, packed, rows, bias + unit_block * VECTORS * BYTES,
                    before, before_row, kept + at, kept_row,
                    start + 4 * (there + r * row + features + unit_block * LANES),
                ))  # fmt: skip
        for r in range(real):
            out = ((first + r) * steps + step) * units
            copy((start + 4 * (there + r * row + features), w[HIDDEN] + 4 * out, units))
        last = kept


forward_block = named(_forward_block)


# -- backward --------------------------------------------------------------------------------------------------------


@njit(**INNER)
def _pack_turned(source: int, out: int, rows: int, units: int) -> None:
    """(column block, gate, column) of a kernel (rows, 4 · units) turned; gates ordered as in ``pack_forward``."""
    gates = 4 * _up(units, LANES)
    for column in range(0, rows, _SPAN):
        for number in range(4 * units):
            gate, unit = number // units, number % units
            place = column * gates + ((unit // LANES * 4 + gate) * LANES + unit % LANES) * _SPAN
            given = source + 4 * (column * 4 * units + number)
            copy_column((given, 4 * units, out + 4 * place, min(_SPAN, rows - column)))


@compiled(1)
def _pack_backward(work):  # type: ignore[no-untyped-def]
    w = carray(words(work), (N_WORDS,))
    features, units = w[FEATURES], w[UNITS]
    clear((w[PACKED], packed_size(features, units, True)))
    _pack_turned(w[RECURRENT], w[PACKED], units, units)
    if w[D_X]:
        _pack_turned(w[KERNEL], w[PACKED] + 16 * _up(units, LANES) * _up(units, _SPAN), features, units)


pack_backward = named(_pack_backward)


@njit(**INNER)
def _through(d_gates: int, gates_row: int, turned: int, gates: int, out: int, columns: int, real: int) -> None:
    """out (rows, columns) = gates' gradient (rows, gates) · turned kernel, floats at addresses."""
    clear((out, _PADDED_ROWS * columns))
    for column in range(0, columns, _SPAN):
        for gate in range(0, gates, _CHUNK):
            part = turned + 4 * (column * gates + gate * _SPAN)
            for r in range(0, real, ROWS):
                add_product((
                    d_gates + 4 * (r * gates_row + gate), 4 * gates_row, 4, part, 4 * _SPAN,
                    min(_CHUNK, gates - gate), out + 4 * (r * columns + column), 4 * columns,
                ))  # fmt: skip


@compiled(2)
def _backward_block(work, block):  # type: ignore[no-untyped-def]
    w = carray(words(work), (N_WORDS,))
    n, steps, features, units = w[N], w[STEPS], w[FEATURES], w[UNITS]
    padded = _up(units, LANES)
    row, gates_row, gates, n_unit_blocks = _inputs_row(features, units), _gates_row(units), 4 * padded, padded // LANES
    wide, wide_x = _up(units, _SPAN), _up(features, _SPAN)
    first = block * BLOCK
    real = min(BLOCK, n - first)
    size = _PADDED_ROWS * (row + gates_row + wide + padded + wide_x) + LANES
    start = w[SCRATCH] + 4 * block * size
    clear((start, size))
    d_hidden = _PADDED_ROWS * (row + gates_row)
    d_memory = d_hidden + _PADDED_ROWS * wide
    d_inputs = d_memory + _PADDED_ROWS * padded
    gates_at, nothing = start + 4 * _PADDED_ROWS * row, start + 4 * (size - LANES)
    partial = w[PARTIAL] + 4 * block * gates * (row + 1)
    clear((partial, gates * (row + 1)))
    kept_row = 5 * BYTES * n_unit_blocks
    for step in range(steps - 1, -1, -1):
        kept = w[KEPT] + (block * steps + step) * _PADDED_ROWS * kept_row
        for r in range(real):
            given = (first + r) * steps + step
            add((w[UPSTREAM] + 4 * given * units, start + 4 * (d_hidden + r * wide), units))
            copy((w[X] + 4 * given * features, start + 4 * r * row, features))
            if step:
                copy((w[HIDDEN] + 4 * (given - 1) * units, start + 4 * (r * row + features), units))
            else:
                clear((start + 4 * (r * row + features), units))
            for unit_block in range(n_unit_blocks):
                at_kept = kept + r * kept_row + unit_block * 5 * BYTES
                before = at_kept - _PADDED_ROWS * kept_row + 4 * BYTES if step else nothing
                backward_cell((
                    at_kept, before, start + 4 * (d_hidden + r * wide + unit_block * LANES),
                    start + 4 * (d_memory + r * padded + unit_block * LANES),
                    gates_at + 4 * (r * gates_row + unit_block * _SPAN),
                    partial + 4 * (row * gates + unit_block * _SPAN),
                ))  # fmt: skip
        for unit_block in range(n_unit_blocks):
            for r in range(0, row, ROWS):
                add_product((
                    start + 4 * r, 4, 4 * row, gates_at + 4 * unit_block * _SPAN, 4 * gates_row, real,
                    partial + 4 * (r * gates + unit_block * _SPAN), 4 * gates,
                ))  # fmt: skip
        if step:
            _through(gates_at, gates_row, w[PACKED], gates, start + 4 * d_hidden, wide, real)
        if w[D_X]:
            turned = w[PACKED] + 4 * wide * gates
            _through(gates_at, gates_row, turned, gates, start + 4 * d_inputs, wide_x, real)
            for r in range(real):
                given = ((first + r) * steps + step) * features
                copy((start + 4 * (d_inputs + r * wide_x), w[D_X] + 4 * given, features))


backward_block = named(_backward_block)


@compiled(1)
def _add_partial(work):  # type: ignore[no-untyped-def]
    """The blocks' parts, summed in their order, in the layout of the weights."""
    w = carray(words(work), (N_WORDS,))
    features, units, sums = w[FEATURES], w[UNITS], w[PARTIAL]
    row, gates = _inputs_row(features, units), 4 * _up(units, LANES)
    size = gates * (row + 1)
    for block in range(1, n_blocks(w[N])):
        add((sums + 4 * block * size, sums, size))
    for unit in range(0, units, LANES):
        width = min(LANES, units - unit)
        for gate in range(4):
            given, column = sums + 4 * (unit * 4 + gate * LANES), 4 * (gate * units + unit)
            copy((given + 4 * row * gates, w[D_BIAS] + column, width))
            for source in range(features):
                copy((given + 4 * source * gates, w[D_KERNEL] + 16 * source * units + column, width))
            for source in range(units):
                copy((given + 4 * (features + source) * gates, w[D_RECURRENT] + 16 * source * units + column, width))


add_partial = named(_add_partial)


@compiled(1)
def _take_blocks(work):  # type: ignore[no-untyped-def]
    """Computes the blocks that nobody has begun, until there are none."""
    w = carray(words(work), (N_WORDS,))
    while True:
        block = count(work + 8 * NEXT, 1)
        if block >= w[BLOCKS]:
            return
        if w[BACKWARD]:
            backward_block((work, block))
        else:
            forward_block((work, block))
        count(work + 8 * DONE, 1)


take_blocks = named(_take_blocks)
