"""Explicit vector code for sketches: 256 rows at a time against one or four queries, a table look-up per feature.

A row's sketch is the number of its cell, 0 … 15, in every feature. What a cell is worth to a query is a byte in a table
of 16, and the processor looks up such a table for a whole register of rows at once, in one instruction: that is ten
times as quick as measuring the rows. Sums of bytes stop at 255.

Layouts (uint8; offsets are as in a flat array): a block is (n_pairs, 256), in each byte the cells of two features (the
first in the lower half); tables of a group of g queries are (n_pairs, 2, g, WIDTH), each one repeated as often as a
register holds it. Each function has a NumPy twin, used when the JIT is disabled.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from consilience.kernels._compiling import compiled_for

ROWS = 256
CELLS = 16
_SHUFFLES = (  # of the processor, the widest first: the feature that has it, its name, bytes
    ("avx512bw", "avx512.pshuf.b.512", 64),
    ("avx2", "avx2.pshuf.b", 32),
    ("ssse3", "ssse3.pshuf.b.128", 16),
)
_SHUFFLE, WIDTH = next(((name, width) for feature, name, width in _SHUFFLES if compiled_for(feature)), ("", 16))
AVAILABLE = bool(_SHUFFLE) or bool(config.DISABLE_JIT)
_TOGETHER = {64: 2, 32: 2, 16: 1}[WIDTH]  # vectors per query whose sums stay in registers, of four queries
_BYTE, _SIZE = ir.IntType(8), ir.IntType(64)
_VECTOR, _CHUNK = ir.VectorType(_BYTE, WIDTH), ir.VectorType(_BYTE, 64)


def _number(value: int) -> ir.Constant:
    return ir.Constant(_VECTOR, [ir.Constant(_BYTE, value)] * WIDTH)


def _call(builder: Any, name: str, *operands: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * len(operands))
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}"), operands)


def _place(builder: Any, base: Any, offset: Any, more: int = 0) -> Any:
    place = builder.gep(base, [builder.add(offset, ir.Constant(_SIZE, more))])
    return builder.bitcast(place, _VECTOR.as_pointer())


def _load(builder: Any, base: Any, offset: Any, more: int = 0) -> Any:
    return builder.load(_place(builder, base, offset, more), align=1)


def _pointer(context: Any, builder: Any, array_type: Any, value: Any) -> Any:
    return context.make_array(array_type)(context, builder, value).data


def _sums(
    builder: Any, codes: Any, start: Any, tables: Any, first: Any, n_pairs: Any, group: int, together: int
) -> list[list[Any]]:
    """The loop over pairs of features: sums[query][vector] of ``together`` vectors from ``start`` on."""
    before = builder.block
    loop, after = builder.append_basic_block("pairs"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    pair = builder.phi(_SIZE)
    pair.add_incoming(ir.Constant(_SIZE, 0), before)
    carried = [[builder.phi(_VECTOR) for _ in range(together)] for _ in range(group)]
    offset = builder.add(start, builder.mul(pair, ir.Constant(_SIZE, ROWS)))
    both = [_load(builder, codes, offset, vector * WIDTH) for vector in range(together)]
    lower = [builder.and_(cells, _number(CELLS - 1)) for cells in both]
    upper = [_upper(builder, cells) for cells in both]
    table = builder.add(first, builder.mul(pair, ir.Constant(_SIZE, 2 * group * WIDTH)))
    grown = carried
    for half, cells in enumerate((lower, upper)):
        following = []
        for q, sums in enumerate(grown):
            worth = _load(builder, tables, table, (half * group + q) * WIDTH)
            following.append(
                [
                    _call(builder, f"uadd.sat.v{WIDTH}i8", total, _call(builder, f"x86.{_SHUFFLE}", worth, cell))
                    for total, cell in zip(sums, cells)
                ]
            )
        grown = following
    following_pair = builder.add(pair, ir.Constant(_SIZE, 1))
    pair.add_incoming(following_pair, builder.block)
    for phis, values in zip(carried, grown):
        for phi, value in zip(phis, values):
            phi.add_incoming(_number(0), before)
            phi.add_incoming(value, builder.block)
    builder.cbranch(builder.icmp_signed("<", following_pair, n_pairs), loop, after)
    builder.position_at_end(after)
    return grown


def _upper(builder: Any, cells: Any) -> Any:
    """The upper half of each byte; processors shift words of 16 bits, not bytes."""
    words = ir.VectorType(ir.IntType(16), WIDTH // 2)
    four = ir.Constant(words, [ir.Constant(ir.IntType(16), 4)] * (WIDTH // 2))
    shifted = builder.bitcast(builder.lshr(builder.bitcast(cells, words), four), _VECTOR)
    return builder.and_(shifted, _number(CELLS - 1))


def _make_sums(group: int) -> Any:
    """sums(codes, start, tables, first, n_pairs, out, at, stride, least, least_at)

    writes the sums of one block's rows into out[at + q · stride :][:256] for every query q of the group, and lowers
    least[least_at + q · 256 :][:256] to them.
    """

    def sums(
        typing: Any,
        codes: Any,
        start: Any,
        tables: Any,
        first: Any,
        n_pairs: Any,
        out: Any,
        at: Any,
        stride: Any,
        least: Any,
        least_at: Any,
    ) -> Any:
        size = types.intp
        signature = types.void(codes, size, tables, size, size, out, size, size, least, size)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            base, worth, kept, lowest = (_pointer(context, builder, sig.args[i], args[i]) for i in (0, 2, 5, 8))
            together = min(4, ROWS // WIDTH) if group == 1 else _TOGETHER
            step = together * WIDTH
            with cgutils.for_range(builder, ir.Constant(_SIZE, ROWS // step)) as loop:
                row = builder.mul(loop.index, ir.Constant(_SIZE, step))
                start = builder.add(args[1], row)
                grown = _sums(builder, base, start, worth, args[3], args[4], group, together)
                for q, vectors in enumerate(grown):
                    to = builder.add(builder.add(args[6], row), builder.mul(args[7], ir.Constant(_SIZE, q)))
                    low = builder.add(builder.add(args[9], row), ir.Constant(_SIZE, q * ROWS))
                    for vector, value in enumerate(vectors):
                        builder.store(value, _place(builder, kept, to, vector * WIDTH), align=1)
                        slot = _place(builder, lowest, low, vector * WIDTH)
                        known = builder.load(slot, align=1)
                        less = builder.select(builder.icmp_unsigned("<", value, known), value, known)
                        builder.store(less, slot, align=1)
            return context.get_dummy_value()

        return signature, generate

    return intrinsic(sums)


def _up_to(builder: Any, values: Any, limit: Any) -> Any:
    """64 bits, one per byte: is it at most the limit?"""
    one = builder.insert_element(ir.Constant(_CHUNK, ir.Undefined), limit, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), 64), [ir.Constant(ir.IntType(32), 0)] * 64)
    bound = builder.shuffle_vector(one, ir.Constant(_CHUNK, ir.Undefined), zeros)
    return builder.bitcast(builder.icmp_unsigned("<=", values, bound), _SIZE)


@intrinsic
def _mask_up_to(typing: Any, sums: Any, at: Any, limit: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        base = _pointer(context, builder, sig.args[0], args[0])
        place = builder.bitcast(builder.gep(base, [args[1]]), _CHUNK.as_pointer())
        return _up_to(builder, builder.load(place, align=1), args[2])

    return types.uint64(sums, types.intp, types.uint8), generate


@intrinsic
def _any_up_to(typing: Any, sums: Any, at: Any, limit: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        base = _pointer(context, builder, sig.args[0], args[0])
        least = None
        for start in range(0, ROWS, 64):
            place = builder.gep(base, [builder.add(args[1], ir.Constant(_SIZE, start))])
            values = builder.load(builder.bitcast(place, _CHUNK.as_pointer()), align=1)
            if least is not None:
                values = builder.select(builder.icmp_unsigned("<", values, least), values, least)
            least = values
        return builder.icmp_unsigned("!=", _up_to(builder, least, args[2]), ir.Constant(_SIZE, 0))

    return types.boolean(sums, types.intp, types.uint8), generate


def _sums_in_numpy(group: int) -> Callable[..., None]:
    def sums(
        codes: np.ndarray,
        start: int,
        tables: np.ndarray,
        first: int,
        n_pairs: int,
        out: np.ndarray,
        at: int,
        stride: int,
        least: np.ndarray,
        least_at: int,
    ) -> None:
        both = codes.reshape(-1)[start : start + n_pairs * ROWS].reshape(n_pairs, ROWS)
        size = n_pairs * 2 * group * WIDTH
        worth = tables[first : first + size].reshape(n_pairs, 2, group, WIDTH)
        for q in range(group):
            total = np.zeros(ROWS, np.int64)
            for pair in range(n_pairs):
                total += worth[pair, 0, q][both[pair] & 15]
                total += worth[pair, 1, q][both[pair] >> 4]
            found = np.minimum(total, 255).astype(np.uint8)
            out[at + q * stride : at + q * stride + ROWS] = found
            low = slice(least_at + q * ROWS, least_at + (q + 1) * ROWS)
            least[low] = np.minimum(least[low], found)

    return sums


if config.DISABLE_JIT:
    sums4, sums1 = _sums_in_numpy(4), _sums_in_numpy(1)

    def up_to(sums: np.ndarray, at: int, limit: np.uint8) -> np.uint64:
        """64 bits, one for each of sums[at : at + 64]: is it at most the limit?"""
        return np.packbits(sums[at : at + 64] <= limit, bitorder="little").view(np.uint64)[0]

    def any_up_to(sums: np.ndarray, at: int, limit: np.uint8) -> bool:
        """Is any of sums[at : at + 256] at most the limit?"""
        return bool((sums[at : at + ROWS] <= limit).any())

else:
    sums4, sums1, up_to, any_up_to = _make_sums(4), _make_sums(1), _mask_up_to, _any_up_to
