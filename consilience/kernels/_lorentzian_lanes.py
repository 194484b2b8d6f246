"""Explicit vector code: 64 reference rows at a time against one or four queries.

Numba's autovectoriser leaves these loops scalar, so each is written as LLVM vector instructions. LLVM cuts the 16-lane
vectors into what the machine has (one AVX-512 register, two of AVX, four of SSE or NEON); nothing here asks for a
processor feature. How many lanes are worked on at a time goes by the registers there are: products that do not fit are
written and read back for every feature, which costs three quarters of the speed. Each function has a NumPy twin, used
when the JIT is disabled.

Layouts (float32, flat): a block is (d, 64), feature by feature; a box block is (d, 2, 64), lower then upper edges; a
group of g queries is (d, g). Sums of logarithms are carried as products that start at ``START``, a power of two, so
that they span e^158 before they overflow to infinity, which only ever says "far".
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from consilience.kernels._compiling import INNER, compiled_for

LANES = 64
BOXES = 16  # bounded together
_LINE = 64  # bytes
GROUP = 4
START = 2.0**-100

_WIDTH = BOXES
_VECTORS = LANES // _WIDTH
_TOGETHER = _VECTORS if compiled_for("avx512f") else 1  # vectors per query in registers at once
_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, _WIDTH)
_SIZE = ir.IntType(64)


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_VECTOR, [ir.Constant(_FLOAT, value)] * _WIDTH)


def _call(builder: Any, name: str, *operands: Any) -> Any:
    """One of LLVM's vector intrinsics, as ``fabs`` or ``fmuladd`` (fused where the machine can, else two steps)."""
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * len(operands))
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{_WIDTH}f32")
    return builder.call(function, operands)


def _load(builder: Any, base: Any, offset: Any, vector: int) -> Any:
    """Lanes of one vector, the ``vector``-th after ``offset`` floats."""
    place = builder.gep(base, [builder.add(offset, ir.Constant(_SIZE, vector * _WIDTH))])
    return builder.load(builder.bitcast(place, _VECTOR.as_pointer()), align=4)


def everywhere(builder: Any, value: Any, kind: Any) -> Any:
    """A value in every lane of a vector of that kind."""
    empty, places = ir.Constant(kind, ir.Undefined), ir.VectorType(ir.IntType(32), kind.count)
    first = builder.insert_element(empty, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, empty, ir.Constant(places, [0] * kind.count))


def _spread(builder: Any, base: Any, offset: Any) -> Any:
    """One float of an array in every lane."""
    return everywhere(builder, builder.load(builder.gep(base, [offset]), align=4), _VECTOR)


def _point_gap(builder: Any, base: Any, offset: Any, vector: int) -> Callable[[Any], Any]:
    """|x − q| for the block's rows."""
    rows = _load(builder, base, offset, vector)
    return lambda query: _call(builder, "fabs", builder.fsub(rows, query))


def _box_gap(builder: Any, base: Any, offset: Any, vector: int) -> Callable[[Any], Any]:
    """max(low − q, q − high, 0): the nearest that any row of the box can be."""
    low, high = _load(builder, base, offset, vector), _load(builder, base, offset, vector + _VECTORS)

    def gap(query: Any) -> Any:
        below, above = builder.fsub(low, query), builder.fsub(query, high)
        most = builder.select(builder.fcmp_ordered(">", below, above), below, above)
        return builder.select(builder.fcmp_ordered(">", most, _constant(0.0)), most, _constant(0.0))

    return gap


def _products(
    builder: Any,
    gaps: Any,
    row_size: int,
    start: Any,
    queries: Any,
    first: Any,
    n_features: Any,
    group: int,
    width: int,
) -> list[list[Any]]:
    """The loop over features: products[query][vector] of 1 + gap, ``width`` vectors per query.

    gaps : the offset of a feature's lanes -> the gap of each vector, as a function of the query.
    """
    before = builder.block
    loop = builder.append_basic_block("features")
    after = builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    feature = builder.phi(_SIZE)
    feature.add_incoming(ir.Constant(_SIZE, 0), before)
    carried = [[builder.phi(_VECTOR) for _ in range(width)] for _ in range(group)]
    found = gaps(builder.add(start, builder.mul(feature, ir.Constant(_SIZE, row_size))))
    grown = []
    for q in range(group):
        place = builder.add(first, builder.add(builder.mul(feature, ir.Constant(_SIZE, group)), ir.Constant(_SIZE, q)))
        query = _spread(builder, queries, place)
        grown.append([_call(builder, "fmuladd", p, gap(query), p) for p, gap in zip(carried[q], found)])
    following = builder.add(feature, ir.Constant(_SIZE, 1))
    feature.add_incoming(following, builder.block)
    for phis, values in zip(carried, grown):
        for phi, value in zip(phis, values):
            phi.add_incoming(_constant(START), before)
            phi.add_incoming(value, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, n_features), loop, after)
    builder.position_at_end(after)
    return grown


@contextmanager
def _passes(builder: Any, group: int) -> Iterator[tuple[Any, int]]:
    """A loop over a block's lanes, so many at a time as the registers hold: (first lane, vectors) of one pass."""
    width = _VECTORS if group == 1 else _TOGETHER
    if width == _VECTORS:
        yield ir.Constant(_SIZE, 0), width
        return
    with cgutils.for_range(builder, ir.Constant(_SIZE, _VECTORS // width)) as loop:
        yield builder.mul(loop.index, ir.Constant(_SIZE, width * _WIDTH)), width


def _store(builder: Any, products: list[list[Any]], out: Any, start: Any, stride: Any) -> None:
    for q, vectors in enumerate(products):
        offset = builder.add(start, builder.mul(stride, ir.Constant(_SIZE, q)))
        for vector, value in enumerate(vectors):
            place = builder.gep(out, [builder.add(offset, ir.Constant(_SIZE, vector * _WIDTH))])
            builder.store(value, builder.bitcast(place, _VECTOR.as_pointer()), align=4)


def _mask(builder: Any, vectors: list[Any], limit: Any) -> Any:
    """64 bits, one per lane: is the product below the limit?"""
    bits = ir.Constant(_SIZE, 0)
    for vector, value in enumerate(vectors):
        below = builder.fcmp_ordered("<", value, limit)
        part = builder.zext(builder.bitcast(below, ir.IntType(_WIDTH)), _SIZE)
        bits = builder.or_(bits, builder.shl(part, ir.Constant(_SIZE, vector * _WIDTH)))
    return bits


def _any(builder: Any, masks: list[Any]) -> Any:
    return functools.reduce(builder.or_, masks)


def _pointer(context: Any, builder: Any, array_type: Any, value: Any) -> Any:
    return context.make_array(array_type)(context, builder, value).data


def _make_below(group: int) -> Any:
    """below(blocks, start, queries, first, n_features, limits, at, products, masks) -> whether any lane is below.

    Only then masks (group,) holds one bit per lane, and products (group · 64,) those of the queries with a bit set.
    """

    def below(
        typing: Any,
        blocks: Any,
        start: Any,
        queries: Any,
        first: Any,
        n_features: Any,
        limits: Any,
        at: Any,
        products: Any,
        masks: Any,
    ) -> Any:
        size = types.intp
        signature = types.uint64(blocks, size, queries, size, size, limits, size, products, masks)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            base, asked, bound, kept, found = (
                _pointer(context, builder, sig.args[i], args[i]) for i in (0, 2, 5, 7, 8)
            )
            zero = ir.Constant(_SIZE, 0)
            bits = [cgutils.alloca_once_value(builder, zero) for _ in range(group)]
            limits = [_spread(builder, bound, builder.add(args[6], ir.Constant(_SIZE, q))) for q in range(group)]
            with _passes(builder, group) as (lane, width):

                def gaps(offset: Any) -> list[Any]:
                    return [_point_gap(builder, base, offset, vector) for vector in range(width)]

                start = builder.add(args[1], lane)
                grown = _products(builder, gaps, LANES, start, asked, args[3], args[4], group, width)
                masks = [_mask(builder, vectors, limit) for vectors, limit in zip(grown, limits)]
                # Most blocks have nothing to offer, and then nothing is written.
                with builder.if_then(builder.icmp_unsigned("!=", _any(builder, masks), zero), likely=False):
                    for q, (vectors, mask) in enumerate(zip(grown, masks)):
                        builder.store(builder.or_(builder.load(bits[q]), builder.shl(mask, lane)), bits[q])
                        with builder.if_then(builder.icmp_unsigned("!=", mask, zero)):
                            place = builder.add(lane, ir.Constant(_SIZE, q * LANES))
                            _store(builder, [vectors], kept, place, zero)
            every = [builder.load(slot) for slot in bits]
            any_below = _any(builder, every)
            with builder.if_then(builder.icmp_unsigned("!=", any_below, zero), likely=False):
                for q, mask in enumerate(every):
                    builder.store(mask, builder.gep(found, [ir.Constant(_SIZE, q)]))
            return any_below

        return signature, generate

    return intrinsic(below)


def _make_boxes_below(group: int) -> Any:
    """boxes_below(boxes, start, queries, first, n_features, limits, at, out) -> which of 16 boxes are below any limit.

    The answer has one bit per box; out (group, 16) holds their products.
    """

    def boxes_below(
        typing: Any, boxes: Any, start: Any, queries: Any, first: Any, n_features: Any, limits: Any, at: Any, out: Any
    ) -> Any:
        signature = types.uint64(boxes, types.intp, queries, types.intp, types.intp, limits, types.intp, out)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            base, asked, bound, kept = (_pointer(context, builder, sig.args[i], args[i]) for i in (0, 2, 5, 7))

            def gaps(offset: Any) -> list[Any]:
                return [_box_gap(builder, base, offset, 0)]

            products = _products(builder, gaps, 2 * LANES, args[1], asked, args[3], args[4], group, 1)
            _store(builder, products, kept, ir.Constant(_SIZE, 0), ir.Constant(_SIZE, BOXES))
            limits = [_spread(builder, bound, builder.add(args[6], ir.Constant(_SIZE, q))) for q in range(group)]
            return _any(builder, [_mask(builder, vectors, limit) for vectors, limit in zip(products, limits)])

        return signature, generate

    return intrinsic(boxes_below)


@intrinsic
def _fetch(typing: Any, array: Any, start: Any, size: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = _pointer(context, builder, sig.args[0], args[0])
        step = ir.Constant(_SIZE, _LINE * 8 // sig.args[0].dtype.bitwidth)
        byte = ir.IntType(8).as_pointer()
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        with cgutils.for_range_slice(builder, args[1], builder.add(args[1], args[2]), step) as (
            at,
            _,
        ):
            place = builder.bitcast(builder.gep(data, [at]), byte)
            builder.call(prefetch, [place, *(ir.Constant(number, value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), generate


@intrinsic
def _shrunk(typing: Any, product: Any, share: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        number, double = ir.IntType(32), ir.DoubleType()
        start = ir.Constant(number, int(np.float32(START).view(np.int32)))
        grown = builder.sitofp(builder.sub(builder.bitcast(args[0], number), start), double)
        bits = builder.add(builder.fptosi(builder.fmul(grown, args[1]), number), start)
        more = builder.fcmp_ordered(">", args[0], ir.Constant(_FLOAT, START))
        finite = builder.fcmp_ordered("<", args[0], ir.Constant(_FLOAT, np.inf))
        return builder.select(builder.and_(more, finite), builder.bitcast(bits, _FLOAT), args[0])

    return types.float32(types.float32, types.float64), generate


def _shrunk_in_numpy(product: np.float32, share: float) -> np.float32:
    """The product after about that share of the distance: a float's bits are nearly its logarithm.

    A power took longer than what this decides on. Of infinity and of START or less, it is the same again.
    """
    if not START < product < np.inf:
        return product
    start = int(np.float32(START).view(np.int32))
    return np.int32(start + int((int(np.float32(product).view(np.int32)) - start) * share)).view(np.float32)


@intrinsic
def _trailing_zeros(typing: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


def _below_in_numpy(group: int) -> Callable[..., int]:
    def below(
        blocks: np.ndarray,
        start: int,
        queries: np.ndarray,
        first: int,
        n_features: int,
        limits: np.ndarray,
        at: int,
        products: np.ndarray,
        masks: np.ndarray,
    ) -> int:
        rows = blocks[start : start + n_features * LANES].reshape(n_features, 1, LANES)
        asked = queries[first : first + n_features * group].reshape(n_features, group, 1)
        grown = _grown(np.abs(rows - asked))
        products[: group * LANES] = grown.ravel()
        bits = grown < limits[at : at + group, None]
        masks[:group] = [np.packbits(row, bitorder="little").view(np.uint64)[0] for row in bits]
        return int(bits.any())

    return below


def _boxes_below_in_numpy(
    boxes: np.ndarray,
    start: int,
    queries: np.ndarray,
    first: int,
    n_features: int,
    limits: np.ndarray,
    at: int,
    out: np.ndarray,
) -> int:
    lanes = [start + i * 2 * LANES + np.arange(BOXES) for i in range(n_features)]
    asked = queries[first : first + n_features * GROUP].reshape(n_features, GROUP, 1)
    low, high = boxes[lanes][:, None], boxes[np.add(lanes, LANES)][:, None]
    grown = _grown(np.maximum(np.maximum(low - asked, asked - high), np.float32(0)))
    out[:] = grown.reshape(out.shape)
    below = (grown < limits[at : at + GROUP, None]).any(axis=0)
    return int(np.packbits(below, bitorder="little").view(np.uint16)[0])


def _grown(gaps: np.ndarray) -> np.ndarray:
    """START · Π(1+gap) over the first axis, in float32, feature by feature."""
    products = np.full(gaps.shape[1:], START, np.float32)
    with np.errstate(over="ignore"):
        for gap in gaps:
            products = products * gap + products
    return products


if config.DISABLE_JIT:
    below4, below1 = _below_in_numpy(4), _below_in_numpy(1)
    boxes_below4, shrunk = _boxes_below_in_numpy, _shrunk_in_numpy

    def fetch(array: np.ndarray, start: int, size: int) -> None:
        """Ask for array[start:start + size] to be brought near; past its end nothing happens."""

    def lowest_bit(bits: np.uint64) -> Any:
        """The position of the lowest set bit; ``bits`` is not 0."""
        value = int(bits)
        return (value & -value).bit_length() - 1

else:
    below4, below1 = _make_below(4), _make_below(1)
    boxes_below4, fetch, shrunk = _make_boxes_below(GROUP), _fetch, _shrunk

    @njit(**INNER)
    def lowest_bit(bits: np.uint64) -> Any:
        """The position of the lowest set bit; ``bits`` is not 0."""
        return np.int64(_trailing_zeros(bits))


@njit(**INNER)
def fetch_row(rows: np.ndarray, row: int) -> None:
    """Ask for one row of rows (n, d), C-ordered float64, which may reach into one cache line more than it fills."""
    d = rows.shape[1]
    fetch(rows, d * row, d + _LINE // 8 - 1)


@njit(**INNER)
def whole_lines(size: int) -> np.ndarray:
    """Room for so many float32 that begins a cache line.

    What was stored in a vector across two lines cannot be read again before both are written: reading products from
    memory of any alignment took longer than computing them.
    """
    room = np.empty(size + _WIDTH - 1, np.float32)
    skip = -room.ctypes.data // 4 % _WIDTH
    return room[skip : skip + size]
