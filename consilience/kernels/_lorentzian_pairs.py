"""Explicit vector code for a table of float64 distances: 32 columns at a time against four rows, logarithm included.

Far pairs carry p = Π(1+a) and end in log(p), whose absolute error is about 2D·2⁻⁵³; that is only good relative to d
where d is not small. Near pairs carry s = p − 1 by s ← s + a(1+s), as ``_lorentzian_exact`` does, and end in log1p(s).
Near pairs' 1+s is corrected for what rounding it drops.
"""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from consilience.kernels._compiling import INNER, called, compiled_for
from consilience.kernels._lorentzian_lanes import everywhere
from consilience.kernels._turns import take

COLUMNS = 32
ROWS = 4
_TURN = 4 * ROWS  # rows that a thread takes at a time
WIDEST = 1e300  # of Π(1+a): beyond it the caller goes pair by pair

_NEAR = 4e-3  # per feature: pairs with a smaller Π(1+a) − 1 go the accurate way, so that no error exceeds 1e-13
_AVX512 = compiled_for("avx512f")
_WIDTH, _TOGETHER = (8, 4) if _AVX512 else (4, 2)  # vectors per row at once
_VECTORS = COLUMNS // _WIDTH
_FLOAT, _SIZE = ir.DoubleType(), ir.IntType(64)
_VECTOR, _BITS = ir.VectorType(_FLOAT, _WIDTH), ir.VectorType(_SIZE, _WIDTH)
_SERIES = (  # of log((1+t)/(1-t))/t in t², through Chebyshev's nodes of |t| <= 0.2; its relative error is 6e-17
    2.0,
    0.6666666666666693,
    0.3999999999934565,
    0.2857142883267973,
    0.22222183180681265,
    0.18184588603804439,
    0.15284232657100633,
    0.151136808935312,
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


def _logarithms(builder: Any, values: list[Any], near: bool) -> list[Any]:
    """log(u) of an even number of vectors, 1 <= u < 1e300, or of near pairs log(1 + s), to 4 units in the last place.

    u = 2^e · m with m near 1, and log m is a polynomial in t = (m - 1)/(m + 1). Two vectors share one division,
    which would take longer than all else: 1/a = b · 1/(ab). They are neighbours in one row, so that a distance does not
    depend on which rows are worked on together.
    """
    reduced = [_reduced(builder, builder.fadd(_number(1.0), value) if near else value) for value in values]
    results = []
    for at in range(0, len(values), 2):
        sums = [builder.fadd(mantissa, _number(1.0)) for mantissa, _ in reduced[at : at + 2]]
        inverse = builder.fdiv(_number(1.0), builder.fmul(*sums))
        for number, other in ((at, sums[1]), (at + 1, sums[0])):
            mantissa, exponent = reduced[number]
            f = builder.fsub(mantissa, _number(1.0))
            t = builder.fmul(f, builder.fmul(inverse, other))
            z = builder.fmul(t, t)
            series = _number(_SERIES[-1])
            for coefficient in reversed(_SERIES[:-1]):
                series = _call(builder, "fmuladd", series, z, _number(coefficient))
            small = builder.fmul(t, series)
            if near:
                small = builder.fadd(small, _dropped(builder, values[number], f, exponent))
            results.append(_call(builder, "fmuladd", exponent, _number(_LN2), small))
    return results


def _reduced(builder: Any, u: Any) -> tuple[Any, Any]:
    """m and e of u = 2^e · m, as float64, with √½ <= m < √2."""
    if _AVX512:
        return _reduced_at_once(builder, u)
    above = builder.sub(builder.bitcast(u, _BITS), _integer(_ROOT_HALF))
    whole = builder.and_(above, _integer(~((1 << 52) - 1)))
    mantissa = builder.bitcast(builder.sub(builder.bitcast(u, _BITS), whole), _VECTOR)
    exponent = builder.bitcast(builder.or_(builder.lshr(above, _integer(52)), _integer(_TWO_52)), _VECTOR)
    return mantissa, builder.fsub(exponent, _number(2.0**52))


def _reduced_at_once(builder: Any, u: Any) -> tuple[Any, Any]:
    """As ``_reduced`` with 3/4 <= m < 3/2, by AVX-512's own instructions; u · 4/3 is at least 2^e where m is 3/4."""
    byte, word = ir.IntType(8), ir.IntType(32)
    rest = (_number(0.0), ir.Constant(byte, 255), ir.Constant(word, 4))  # in every lane, rounding as usual

    def call(name: str, *operands: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, [operand.type for operand in operands])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.avx512.mask.{name}.pd.512")
        return builder.call(function, operands)

    mantissa = call("getmant", u, ir.Constant(word, 3), *rest)
    return mantissa, call("getexp", builder.fmul(u, _number(4 / 3)), *rest)


def _dropped(builder: Any, s: Any, f: Any, exponent: Any) -> Any:
    """What rounding u = 1 + s dropped, over u (Kahan); where u is not near 1 it is below the last place."""
    u = builder.fadd(_number(1.0), s)
    lost = builder.fsub(s, builder.fsub(u, _number(1.0)))
    near_one = builder.fcmp_ordered("==", exponent, _number(0.0))
    return builder.select(near_one, builder.fmul(lost, builder.fsub(_number(1.0), f)), _number(0.0))


def _loop(builder: Any, near: bool, base: Any, start: Any, asked: Any, first: Any, n_features: Any) -> list[list[Any]]:
    """The loop over features: [row][vector] of Π(1+a), less one for near pairs, of ``_TOGETHER`` vectors from start."""
    before = builder.block
    loop, after = builder.append_basic_block("features"), builder.append_basic_block("logarithms")
    builder.branch(loop)
    builder.position_at_end(loop)
    feature = builder.phi(_SIZE)
    feature.add_incoming(ir.Constant(_SIZE, 0), before)
    carried = [[builder.phi(_VECTOR) for _ in range(_TOGETHER)] for _ in range(ROWS)]
    offset = builder.add(start, builder.mul(feature, ir.Constant(_SIZE, COLUMNS)))
    loaded = []
    for vector in range(_TOGETHER):
        place = builder.gep(base, [builder.add(offset, ir.Constant(_SIZE, vector * _WIDTH))])
        loaded.append(builder.load(builder.bitcast(place, _VECTOR.as_pointer()), align=8))
    grown: list[list[Any]] = []
    line = builder.add(first, builder.mul(feature, ir.Constant(_SIZE, ROWS)))
    for row in range(ROWS):
        value = builder.load(builder.gep(asked, [builder.add(line, ir.Constant(_SIZE, row))]), align=8)
        coordinate = everywhere(builder, value, _VECTOR)
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
            smallest = cgutils.alloca_once_value(builder, _number(math.inf))
            passes = ir.Constant(_SIZE, _VECTORS // _TOGETHER)
            with cgutils.for_range(builder, passes) as loop:
                lane = builder.mul(loop.index, ir.Constant(_SIZE, _TOGETHER * _WIDTH))
                grown = _loop(builder, near, base, builder.add(args[1], lane), asked, args[3], args[4])
                least = builder.load(smallest)
                for row, values in enumerate(grown):
                    for value in values:
                        least = builder.select(builder.fcmp_ordered("<", value, least), value, least)
                    line = builder.add(builder.add(args[6], lane), builder.mul(args[7], ir.Constant(_SIZE, row)))
                    for vector, result in enumerate(_logarithms(builder, values, near)):
                        place = builder.gep(kept, [builder.add(line, ir.Constant(_SIZE, vector * _WIDTH))])
                        builder.store(result, builder.bitcast(place, _VECTOR.as_pointer()), align=8)
                builder.store(least, smallest)
            below = builder.fcmp_ordered("<", builder.load(smallest), everywhere(builder, args[8], _VECTOR))
            lanes = builder.bitcast(below, ir.IntType(_WIDTH))
            return builder.zext(builder.icmp_unsigned("!=", lanes, ir.Constant(lanes.type, 0)), ir.IntType(8))

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


@njit(**INNER)
def _fill_tiles(
    flat: np.ndarray, start: int, stop: int, rows: np.ndarray, d: int, out: np.ndarray, at: int, stride: int
) -> None:
    """Blocks start:stop of the columns against four rows; line i of the result goes to out[at + i·stride:]."""
    size = d * COLUMNS
    limit = 1.0 + _NEAR * d
    for block in range(start, stop):
        if far_table(flat, block * size, rows, 0, d, out, at, stride, limit):
            near_table(flat, block * size, rows, 0, d, out, at, stride, 0.0)
        at += COLUMNS


@called
def fill_pairs(turns: np.ndarray, X: np.ndarray, columns: np.ndarray, out: np.ndarray) -> None:
    """Fill out (n, m) with the distances of the rows of X (n, d) to the columns (n_blocks, d, 32).

    turns : (1,) the counter from which the threads draw which rows to fill, ``_TURN`` at a time.
    """
    n, d, m = X.shape[0], X.shape[1], out.shape[1]
    flat, flat_out = columns.reshape(-1), out.reshape(-1)
    rows, scratch = np.empty(d * ROWS), np.empty(ROWS * COLUMNS)
    start = take(turns) * _TURN
    while start < n:
        for first in range(start, min(start + _TURN, n), ROWS):
            for i in range(d):
                for row in range(ROWS):
                    rows[i * ROWS + row] = X[min(first + row, n - 1), i]
            whole = m // COLUMNS if first + ROWS <= n else 0
            _fill_tiles(flat, 0, whole, rows, d, flat_out, first * m, m)
            for block in range(whole, columns.shape[0]):
                _fill_tiles(flat, block, block + 1, rows, d, scratch, 0, COLUMNS)
                column = block * COLUMNS
                for row in range(min(ROWS, n - first)):
                    for lane in range(min(COLUMNS, m - column)):
                        flat_out[(first + row) * m + column + lane] = scratch[row * COLUMNS + lane]
        start = take(turns) * _TURN
