"""Vector code of the LSTM kernel: products in register tiles with the gates' functions at their end.

Everything is written as LLVM vectors, which LLVM cuts into what the machine has; nothing asks for a processor feature.
A tile is ``ROWS`` rows by four vectors of ``LANES`` columns: twelve sums in AVX2's sixteen registers, sixteen in the
thirty-two of AVX-512. The functions take addresses (int64) and strides in bytes. When the JIT is disabled the module is
not used: ``_lstm`` has a NumPy form of the whole kernel.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import carray, cfunc, types
from numba.core import cgutils
from numba.extending import intrinsic

from consilience.kernels._compiling import compiled_for

_WIDE = compiled_for("avx512f")
LANES = 16 if _WIDE else 8
ROWS = 4 if _WIDE else 3
VECTORS = 4  # per row of a tile: a unit's four gates, or four neighbouring vectors of columns
BYTES = 4 * LANES  # of a vector

_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_SIZE = ir.IntType(64)

# tanh(x) = x · P(x²) / Q(x²) on [-7.9, 7.9], the rational function of Eigen and XLA; within 3e-7 of the true value
_LIMIT = 7.90531110763549805
_UPPER = (
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
_LOWER = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_VECTOR, [ir.Constant(_FLOAT, value)] * LANES)


def _size(value: int) -> ir.Constant:
    return ir.Constant(_SIZE, value)


def _load(builder: Any, address: Any, offset: int = 0) -> Any:
    place = builder.add(address, _size(offset)) if offset else address
    return builder.load(builder.inttoptr(place, _VECTOR.as_pointer()), align=4)


def _store(builder: Any, value: Any, address: Any, offset: int = 0) -> None:
    place = builder.add(address, _size(offset)) if offset else address
    builder.store(value, builder.inttoptr(place, _VECTOR.as_pointer()), align=4)


def _spread(builder: Any, address: Any) -> Any:
    """One float in every lane."""
    value = builder.load(builder.inttoptr(address, _FLOAT.as_pointer()), align=4)
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [ir.Constant(ir.IntType(32), 0)] * LANES)
    return builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), zeros)


def _fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a·b + c, one operation where the machine has it."""
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")
    return builder.call(function, [a, b, c])


def _tanh(builder: Any, x: Any) -> Any:
    high, low = _constant(_LIMIT), _constant(-_LIMIT)
    x = builder.select(builder.fcmp_ordered(">", x, high), high, x)  # a NaN stays one
    x = builder.select(builder.fcmp_ordered("<", x, low), low, x)
    square = builder.fmul(x, x)
    upper, lower = _constant(_UPPER[0]), _constant(_LOWER[0])
    for coefficient in _UPPER[1:]:
        upper = _fused(builder, upper, square, _constant(coefficient))
    for coefficient in _LOWER[1:]:
        lower = _fused(builder, lower, square, _constant(coefficient))
    return builder.fdiv(builder.fmul(x, upper), lower)


def _sigmoid_of_double(builder: Any, half: Any) -> Any:
    """sigmoid(2 · half)."""
    return _fused(builder, _tanh(builder, half), _constant(0.5), _constant(0.5))


def _product(
    builder: Any, a: Any, a_row: Any, a_step: Any, b: Any, b_step: Any, count: Any, sums: list[list[Any]]
) -> list[list[Any]]:
    """sums[row][vector] + Σ_step a[row, step] · b[step, vector], ``count`` >= 1 steps."""
    rows = [builder.add(a, builder.mul(a_row, _size(row))) for row in range(ROWS)]
    before = builder.block
    loop, after = builder.append_basic_block("steps"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    step, a_at, b_at = (builder.phi(_SIZE) for _ in range(3))
    for phi in (step, a_at, b_at):
        phi.add_incoming(_size(0), before)
    carried = [[builder.phi(_VECTOR) for _ in row] for row in sums]
    place = builder.add(b, b_at)
    # a column's vector is used up before the next is read: sums, factors and it just fill AVX2's registers
    factors = [_spread(builder, builder.add(row, a_at)) for row in rows]
    grown: list[list[Any]] = [[] for _ in rows]
    for vector in range(VECTORS):
        column = _load(builder, place, vector * BYTES)
        for values, factor, phis in zip(grown, factors, carried):
            values.append(_fused(builder, factor, column, phis[vector]))
    following = builder.add(step, _size(1))
    for phi, value in ((step, following), (a_at, builder.add(a_at, a_step)), (b_at, builder.add(b_at, b_step))):
        phi.add_incoming(value, builder.block)
    for phis, values, starts in zip(carried, grown, sums):
        for phi, value, start in zip(phis, values, starts):
            phi.add_incoming(start, before)
            phi.add_incoming(value, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
    builder.position_at_end(after)
    return grown


def _inside(n_arguments: int, emit: Callable[..., None]) -> Any:
    """An intrinsic of a tuple of so many int64."""

    def typed(typing: Any, arguments: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            emit(builder, *cgutils.unpack_tuple(builder, args[0]))
            return context.get_dummy_value()

        return types.void(types.UniTuple(types.int64, n_arguments)), generate

    return intrinsic(typed)


def named(function: Any) -> Any:
    """A compiled C function of int64 as an intrinsic of their tuple, called by its name.

    Numba compiles what it inlines anew in every function above it. What is called by name is compiled once; that keeps
    the first training's wait short.
    """
    name, n_arguments = f"consilience_lstm{function.__name__}", len(function._sig.args)
    binding.add_symbol(name, function.address)

    def emit(builder: Any, *arguments: Any) -> None:
        kind = ir.FunctionType(ir.VoidType(), [_SIZE] * n_arguments)
        builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)

    return _inside(n_arguments, emit)


def _emit_add_product(
    builder: Any, a: Any, a_row: Any, a_step: Any, b: Any, b_step: Any, count: Any, out: Any, out_row: Any
) -> None:
    places = [builder.add(out, builder.mul(out_row, _size(row))) for row in range(ROWS)]
    sums = [[_load(builder, place, vector * BYTES) for vector in range(VECTORS)] for place in places]
    sums = _product(builder, a, a_row, a_step, b, b_step, count, sums)
    for place, vectors in zip(places, sums):
        for vector, value in enumerate(vectors):
            _store(builder, value, place, vector * BYTES)


def _emit_forward(
    builder: Any,
    inputs: Any,
    inputs_row: Any,
    kernel: Any,
    count: Any,
    bias: Any,
    before: Any,
    before_row: Any,
    kept: Any,
    kept_row: Any,
    hidden: Any,
) -> None:
    start = [_load(builder, bias, vector * BYTES) for vector in range(VECTORS)]
    step = _size(4)
    sums = _product(builder, inputs, inputs_row, step, kernel, _size(VECTORS * BYTES), count, [start] * ROWS)
    for row, (admit, forget, candidate, emit) in enumerate(sums):
        admit, forget, emit = (_sigmoid_of_double(builder, half) for half in (admit, forget, emit))
        candidate = _tanh(builder, candidate)
        memory = _load(builder, builder.add(before, builder.mul(before_row, _size(row))))
        memory = _fused(builder, forget, memory, builder.fmul(admit, candidate))
        place = builder.add(kept, builder.mul(kept_row, _size(row)))
        for number, value in enumerate((admit, forget, candidate, emit, memory)):
            _store(builder, value, place, number * BYTES)
        place = builder.add(hidden, builder.mul(inputs_row, _size(row)))
        _store(builder, builder.fmul(emit, _tanh(builder, memory)), place)


def _emit_backward(
    builder: Any, kept: Any, before: Any, d_hidden: Any, d_memory: Any, d_gates: Any, d_bias: Any
) -> None:
    admit, forget, candidate, emit, memory = (_load(builder, kept, number * BYTES) for number in range(5))
    upper, one = _load(builder, d_hidden), _constant(1.0)
    squashed = _tanh(builder, memory)

    def slope(gate: Any) -> Any:
        return builder.fmul(gate, builder.fsub(one, gate))

    reach = builder.fmul(emit, builder.fsub(one, builder.fmul(squashed, squashed)))
    through = _fused(builder, upper, reach, _load(builder, d_memory))
    _store(builder, builder.fmul(through, forget), d_memory)
    turned = (
        builder.fmul(builder.fmul(through, candidate), slope(admit)),
        builder.fmul(builder.fmul(through, _load(builder, before)), slope(forget)),
        builder.fmul(builder.fmul(through, admit), builder.fsub(one, builder.fmul(candidate, candidate))),
        builder.fmul(builder.fmul(upper, squashed), slope(emit)),
    )
    for number, value in enumerate(turned):
        _store(builder, value, d_gates, number * BYTES)
        _store(builder, builder.fadd(_load(builder, d_bias, number * BYTES), value), d_bias, number * BYTES)


_product_inside = _inside(8, _emit_add_product)
_forward_inside = _inside(10, _emit_forward)
_backward_inside = _inside(6, _emit_backward)


def compiled(n_arguments: int) -> Any:
    """Compiles a C function of so many int64."""
    return cfunc(types.void(*[types.int64] * n_arguments), cache=True)


@compiled(8)
def _add_product(a, a_row, a_step, b, b_step, count, out, out_row):  # type: ignore[no-untyped-def]
    """out (ROWS, 4 vectors) += a (ROWS, count) · b (count, 4 vectors)."""
    _product_inside((a, a_row, a_step, b, b_step, count, out, out_row))


@compiled(10)
def _forward_tile(inputs, inputs_row, kernel, count, bias, before, before_row, kept, kept_row, hidden):  # type: ignore[no-untyped-def]
    """A step of ROWS rows for LANES units: kept[row] = input, forget, candidate, output gate, memory; hidden[row]."""
    _forward_inside((inputs, inputs_row, kernel, count, bias, before, before_row, kept, kept_row, hidden))


@compiled(6)
def _backward_cell(kept, before, d_hidden, d_memory, d_gates, d_bias):  # type: ignore[no-untyped-def]
    """The same of one row and LANES units, back."""
    _backward_inside((kept, before, d_hidden, d_memory, d_gates, d_bias))


@intrinsic
def words(typing: Any, address: Any) -> Any:
    """The address of a row of int64 as a pointer that ``carray`` takes."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], _SIZE.as_pointer())

    return types.CPointer(types.int64)(types.int64), generate


@intrinsic
def count(typing: Any, address: Any, value: Any) -> Any:
    """Adds to a counter that threads share, and gives what it was."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", builder.inttoptr(args[0], _SIZE.as_pointer()), args[1], "acq_rel")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def _floats(typing: Any, address: Any) -> Any:
    """The address as a pointer that ``carray`` takes."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], _FLOAT.as_pointer())

    return types.CPointer(types.float32)(types.int64), generate


@compiled(3)
def _copy(source, out, size):  # type: ignore[no-untyped-def]
    given, made = carray(_floats(source), (size,)), carray(_floats(out), (size,))
    for i in range(size):
        made[i] = given[i]


@compiled(3)
def _copy_half(source, out, size):  # type: ignore[no-untyped-def]
    given, made = carray(_floats(source), (size,)), carray(_floats(out), (size,))
    for i in range(size):
        made[i] = np.float32(0.5) * given[i]


@compiled(4)
def _copy_column(source, stride, out, size):  # type: ignore[no-untyped-def]
    given, made = carray(_floats(source), (size * stride,)), carray(_floats(out), (size,))
    for i in range(size):
        made[i] = given[i * stride]


@compiled(3)
def _add(source, out, size):  # type: ignore[no-untyped-def]
    given, made = carray(_floats(source), (size,)), carray(_floats(out), (size,))
    for i in range(size):
        made[i] += given[i]


@compiled(2)
def _clear(out, size):  # type: ignore[no-untyped-def]
    made = carray(_floats(out), (size,))
    for i in range(size):
        made[i] = 0.0


add_product, forward_tile, backward_cell = named(_add_product), named(_forward_tile), named(_backward_cell)
copy, copy_half, copy_column, add, clear = (named(f) for f in (_copy, _copy_half, _copy_column, _add, _clear))
