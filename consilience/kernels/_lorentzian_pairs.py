"""Explicit vector code for a table of float64 distances: 32 columns at a time against four rows, logarithm included.

Far pairs carry p = Π(1+a) and end in log(p), whose absolute error is about 2D·2⁻⁵³; that is only good relative to d
where d is not small. Near pairs carry s = p − 1 by s ← s + a(1+s), as ``_lorentzian_exact`` does, and end in log1p(s).
The logarithm is that of fdlibm (W. Cody and W. Waite's reduction; error below 1 unit in the last place) with Kahan's
correction of 1+s.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

COLUMNS = 32
ROWS = 4
WIDEST = 1e300  # of Π(1+a): beyond it the caller goes pair by pair

_NEAR = 4e-3  # per feature: pairs with a smaller Π(1+a) − 1 go the accurate way, so that no error exceeds 1e-13
_WIDTH = 8
_VECTORS = COLUMNS // _WIDTH
_FLOAT, _SIZE = ir.DoubleType(), ir.IntType(64)
_VECTOR, _BITS = ir.VectorType(_FLOAT, _WIDTH), ir.VectorType(_SIZE, _WIDTH)
_SERIES = (  # of (log(1+f) − f + f²/2) in t = f/(2+f), even powers
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)
_LN2 = 0.6931471805599453
_ROOT_HALF = 0x3FE6A09E667F3BCD  # the bits of √½
_TWO_52 = 0x4330000000000000  # the bits of 2⁵², whose last bits can hold an integer


def _number(value: float) -> ir.Constant:
    return ir.Constant(_VECTOR, [ir.Constant(_FLOAT, value)] * _WIDTH)


def _integer(value: int) -> ir.Constant:
    return ir.Constant(_BITS, [ir.Constant(_SIZE, value)] * _WIDTH)


def _call(builder: Any, name: str, *operands: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * len(operands))
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{_WIDTH}f64"), operands)


def _log(builder: Any, u: Any, lost: Any = None) -> Any:
    """log(u + lost) of a vector, 1 <= u < 1e300, to about 1 unit in the last place; lost is what rounding u dropped."""
    above = builder.sub(builder.bitcast(u, _BITS), _integer(_ROOT_HALF))
    exponent = builder.lshr(above, _integer(52))
    mantissa = builder.sub(builder.bitcast(u, _BITS), builder.shl(exponent, _integer(52)))
    power = builder.fsub(builder.bitcast(builder.or_(exponent, _integer(_TWO_52)), _VECTOR), _number(2.0**52))
    f = builder.fsub(builder.bitcast(mantissa, _VECTOR), _number(1.0))
    t = builder.fdiv(f, builder.fadd(_number(2.0), f))
    z = builder.fmul(t, t)
    series = _number(_SERIES[-1])
    for coefficient in reversed(_SERIES[:-1]):
        series = _call(builder, "fmuladd", series, z, _number(coefficient))
    half_square = builder.fmul(builder.fmul(_number(0.5), f), f)
    tail = builder.fmul(t, _call(builder, "fmuladd", series, z, half_square))
    small = builder.fsub(f, builder.fsub(half_square, tail))
    if lost is not None:
        # d log(u) = lost/u; where u is not near 1 it is below the last place.
        near_one = builder.icmp_unsigned("==", exponent, _integer(0))
        correction = builder.fmul(lost, builder.fsub(_number(1.0), f))
        small = builder.fadd(small, builder.select(near_one, correction, _number(0.0)))
    return _call(builder, "fmuladd", power, _number(_LN2), small)


def _log1p(builder: Any, s: Any) -> Any:
    u = builder.fadd(_number(1.0), s)
    return _log(builder, u, builder.fsub(s, builder.fsub(u, _number(1.0))))


def _spread(builder: Any, value: Any) -> Any:
    empty = ir.Constant(_VECTOR, ir.Undefined)
    lane = builder.insert_element(empty, value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), _WIDTH), [ir.Constant(ir.IntType(32), 0)] * _WIDTH)
    return builder.shuffle_vector(lane, empty, zeros)


def _loop(builder: Any, near: bool, base: Any, start: Any, asked: Any, first: Any, n_features: Any) -> list[list[Any]]:
    """The loop over features: [row][vector] of Π(1+a), less one for near pairs."""
    before = builder.block
    loop, after = builder.append_basic_block("features"), builder.append_basic_block("logarithms")
    builder.branch(loop)
    builder.position_at_end(loop)
    feature = builder.phi(_SIZE)
    feature.add_incoming(ir.Constant(_SIZE, 0), before)
    carried = [[builder.phi(_VECTOR) for _ in range(_VECTORS)] for _ in range(ROWS)]
    offset = builder.add(start, builder.mul(feature, ir.Constant(_SIZE, COLUMNS)))
    loaded = []
    for vector in range(_VECTORS):
        place = builder.gep(base, [builder.add(offset, ir.Constant(_SIZE, vector * _WIDTH))])
        loaded.append(builder.load(builder.bitcast(place, _VECTOR.as_pointer()), align=8))
    grown: list[list[Any]] = []
    line = builder.add(first, builder.mul(feature, ir.Constant(_SIZE, ROWS)))
    for row in range(ROWS):
        value = builder.load(builder.gep(asked, [builder.add(line, ir.Constant(_SIZE, row))]), align=8)
        coordinate = _spread(builder, value)
        grown.append([])
        for kept, column in zip(carried[row], loaded):
            gap = _call(builder, "fabs", builder.fsub(column, coordinate))
            factor = builder.fadd(_number(1.0), kept) if near else kept
            grown[row].append(_call(builder, "fmuladd", gap, factor, kept))
    following = builder.add(feature, ir.Constant(_SIZE, 1))
    feature.add_incoming(following, builder.block)
    for phis, values in zip(carried, grown):
        for phi, value in zip(phis, values):
            phi.add_incoming(_number(0.0 if near else 1.0), before)
            phi.add_incoming(value, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, n_features), loop, after)
    builder.position_at_end(after)
    return grown


def _make_table(near: bool) -> Any:
    """table(columns, start, rows, first, n_features, out, at, stride, limit) -> does any Π(1+a) lie below the limit?"""

    def table(
        typing: Any,
        columns: Any,
        start: Any,
        rows: Any,
        first: Any,
        n_features: Any,
        out: Any,
        at: Any,
        stride: Any,
        limit: Any,
    ) -> Any:
        size = types.intp
        signature = types.uint8(columns, size, rows, size, size, out, size, size, types.float64)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            base, asked, kept = (context.make_array(sig.args[i])(context, builder, args[i]).data for i in (0, 2, 5))
            grown = _loop(builder, near, base, args[1], asked, args[3], args[4])
            smallest = _spread(builder, args[8])
            low = ir.Constant(ir.VectorType(ir.IntType(1), _WIDTH), [ir.Constant(ir.IntType(1), 0)] * _WIDTH)
            for row, values in enumerate(grown):
                line = builder.add(args[6], builder.mul(args[7], ir.Constant(_SIZE, row)))
                for vector, value in enumerate(values):
                    low = builder.or_(low, builder.fcmp_ordered("<", value, smallest))
                    result = _log1p(builder, value) if near else _log(builder, value)
                    place = builder.gep(kept, [builder.add(line, ir.Constant(_SIZE, vector * _WIDTH))])
                    builder.store(result, builder.bitcast(place, _VECTOR.as_pointer()), align=8)
            return builder.bitcast(low, ir.IntType(_WIDTH))

        return signature, generate

    return intrinsic(table)


def _table_in_numpy(
    columns: np.ndarray,
    start: int,
    rows: np.ndarray,
    first: int,
    n_features: int,
    out: np.ndarray,
    at: int,
    stride: int,
    limit: float,
) -> bool:
    block = columns[start : start + n_features * COLUMNS].reshape(n_features, COLUMNS)
    asked = rows[first : first + n_features * ROWS].reshape(n_features, ROWS, 1)
    s = np.zeros((ROWS, COLUMNS))
    for column, row in zip(block, asked):
        s = s + np.abs(column - row) * (1.0 + s)
    for line, values in enumerate(np.log1p(s)):
        out[at + line * stride : at + line * stride + COLUMNS] = values
    return False


if config.DISABLE_JIT:
    far_table = near_table = _table_in_numpy
else:
    far_table, near_table = _make_table(near=False), _make_table(near=True)


@njit(cache=True, nogil=True)
def fill_pairs(X: np.ndarray, columns: np.ndarray, start: int, stop: int, out: np.ndarray) -> None:
    """Fill rows start:stop of out (n, m): distances of the rows of X (n, d) to the columns (n_blocks, d, 32)."""
    d, m = X.shape[1], out.shape[1]
    size = d * COLUMNS
    flat, flat_out = columns.reshape(-1), out.reshape(-1)
    rows, scratch = np.empty(d * ROWS), np.empty(ROWS * COLUMNS)
    limit = 1.0 + _NEAR * d
    for first in range(start, stop, ROWS):
        for i in range(d):
            for row in range(ROWS):
                rows[i * ROWS + row] = X[min(first + row, stop - 1), i]
        for block in range(columns.shape[0]):
            column = block * COLUMNS
            whole = first + ROWS <= stop and column + COLUMNS <= m
            target, at, stride = (flat_out, first * m + column, m) if whole else (scratch, 0, COLUMNS)
            if far_table(flat, block * size, rows, 0, d, target, at, stride, limit):
                near_table(flat, block * size, rows, 0, d, target, at, stride, 0.0)
            if not whole:
                for row in range(min(ROWS, stop - first)):
                    for lane in range(min(COLUMNS, m - column)):
                        flat_out[(first + row) * m + column + lane] = scratch[row * COLUMNS + lane]
