"""The best candidates of a query so far: ascending lists that are searched and moved a vector at a time.

A list is a whole number of vectors, filled from the right; what is left over on its left is ``NOBODY``, below every
key, and stays. So its worst key is always the last one, and a candidate is put into its place without a branch: which
entries stay, which come from the left, and which one is new are comparisons of vectors. In lists that move entry by
entry, and in heaps, mispredicted branches took most of a search.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.extending import intrinsic

from consilience.kernels._compiling import INNER, called
from consilience.kernels._lorentzian_lanes import LANES, everywhere

NOBODY = -1.0  # keys are products of 1 + gap, so none is negative
_WIDTH = 16
_SIZE, _NUMBER, _FLOAT = ir.IntType(64), ir.IntType(32), ir.FloatType()
_KEYS, _ROWS, _PLACES = (ir.VectorType(kind, _WIDTH) for kind in (_FLOAT, _NUMBER, _NUMBER))
_LAST = ir.Constant(_NUMBER, _WIDTH - 1)


@called
def length(n_candidates: int) -> int:
    """How long a list has to be for so many candidates."""
    return (n_candidates + _WIDTH - 1) // _WIDTH * _WIDTH


def _placed(builder: Any, listed: Any, names: Any, before: tuple[Any, Any], key: Any, name: Any) -> tuple[Any, Any]:
    """Keys and rows of one vector of a list after a candidate came; ``before`` are those of the vector to its left."""
    to_the_right = ir.Constant(_PLACES, [2 * _WIDTH - 1, *range(_WIDTH - 1)])
    left = builder.shuffle_vector(listed, before[0], to_the_right)
    moved = builder.shuffle_vector(names, before[1], to_the_right)
    stays, comes = builder.fcmp_ordered("<=", listed, key), builder.fcmp_ordered(">", left, key)
    return (
        builder.select(stays, listed, builder.select(comes, left, key)),
        builder.select(stays, names, builder.select(comes, moved, name)),
    )


@intrinsic
def _insert(
    typing: Any, keys: Any, rows: Any, first: Any, size: Any, mask: Any, products: Any, at: Any, row: Any
) -> Any:
    """Put every lane of the mask, which is not 0, into the list keys[first:first+size]; give the new worst key.

    A lane's key is products[at + lane], its row is row + lane. Of equal keys, the earlier one is the better.
    """

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        _, _, first, size, mask, _, at, row = args
        key_base, row_base, found = (
            builder.gep(context.make_array(sig.args[i])(context, builder, args[i]).data, [offset])
            for i, offset in ((0, first), (1, first), (5, at))
        )
        nobody = ir.Constant(_KEYS, [ir.Constant(_FLOAT, -np.inf)] * _WIDTH), ir.Constant(_ROWS, ir.Undefined)
        zero, one, step = (ir.Constant(_SIZE, value) for value in (0, 1, _WIDTH))

        def place(base: Any, offset: Any, kind: Any) -> Any:
            return builder.bitcast(builder.gep(base, [offset]), kind.as_pointer())

        def load(offset: Any) -> tuple[Any, Any]:
            return tuple(
                builder.load(place(base, offset, kind), align=4)
                for base, kind in ((key_base, _KEYS), (row_base, _ROWS))
            )

        def load_worst(offset: Any) -> Any:
            last = builder.add(offset, ir.Constant(_SIZE, _WIDTH - 1))
            return builder.load(builder.gep(key_base, [last]), align=4)

        def store(offset: Any, vectors: tuple[Any, Any]) -> None:
            for base, kind, vector in zip((key_base, row_base), (_KEYS, _ROWS), vectors):
                builder.store(vector, place(base, offset, kind), align=4)

        def candidate(waiting: Any) -> tuple[Any, Any, Any]:
            lane = builder.cttz(waiting, ir.Constant(ir.IntType(1), 1))
            rest = builder.and_(waiting, builder.sub(waiting, one))
            name = everywhere(builder, builder.trunc(builder.add(row, lane), _NUMBER), _ROWS)
            return rest, builder.load(builder.gep(found, [lane]), align=4), name

        start = builder.block
        short, long, better, change, next_lane, after = (
            builder.append_basic_block(name) for name in ("short", "long", "better", "change", "next", "after")
        )
        whole = load(zero)
        builder.cbranch(builder.icmp_unsigned("==", size, step), short, long)

        # One vector stays in registers.
        builder.position_at_end(short)
        waiting, listed, names = (builder.phi(kind) for kind in (_SIZE, _KEYS, _ROWS))
        rest, key, name = candidate(waiting)
        new = _placed(builder, listed, names, nobody, everywhere(builder, key, _KEYS), name)
        for phi, old, following in ((waiting, mask, rest), (listed, whole[0], new[0]), (names, whole[1], new[1])):
            phi.add_incoming(old, start)
            phi.add_incoming(following, short)
        done = builder.append_basic_block("done")
        builder.cbranch(builder.icmp_unsigned("!=", rest, zero), short, done)
        builder.position_at_end(done)
        store(zero, new)
        builder.branch(after)

        # Of several, those that hold only better keys are passed over; all that follow change.
        builder.position_at_end(long)
        waiting = builder.phi(_SIZE)
        waiting.add_incoming(mask, start)
        rest, key, name = candidate(waiting)
        new_key = everywhere(builder, key, _KEYS)
        builder.cbranch(builder.fcmp_ordered(">", load_worst(builder.sub(size, step)), key), better, next_lane)
        builder.position_at_end(better)
        offset = builder.phi(_SIZE)
        offset.add_incoming(zero, long)
        offset.add_incoming(builder.add(offset, step), better)
        builder.cbranch(builder.fcmp_ordered("<=", load_worst(offset), key), better, change)
        builder.position_at_end(change)
        at_offset, left_keys, left_names = (builder.phi(kind) for kind in (_SIZE, _KEYS, _ROWS))
        own = load(at_offset)
        store(at_offset, _placed(builder, *own, (left_keys, left_names), new_key, name))
        following = builder.add(at_offset, step)
        for phi, old, later in zip((at_offset, left_keys, left_names), (offset, *nobody), (following, *own)):
            phi.add_incoming(old, better)
            phi.add_incoming(later, change)
        builder.cbranch(builder.icmp_unsigned("<", following, size), change, next_lane)
        builder.position_at_end(next_lane)
        waiting.add_incoming(rest, next_lane)
        builder.cbranch(builder.icmp_unsigned("!=", rest, zero), long, after)

        builder.position_at_end(after)
        return load_worst(builder.sub(size, step))

    signature = types.float32(keys, rows, types.intp, types.intp, types.uint64, products, types.intp, types.intp)
    return signature, generate


def _insert_in_numpy(
    keys: np.ndarray, rows: np.ndarray, first: int, size: int, mask: int, products: np.ndarray, at: int, row: int
) -> np.float32:
    lanes = np.flatnonzero(np.unpackbits(np.array([mask], np.uint64).view(np.uint8), bitorder="little"))
    last = first + size
    every = np.concatenate([keys[first:last], products[at + lanes]])
    names = np.concatenate([rows[first:last], row + lanes])
    best = np.argsort(every, kind="stable")[:size]
    keys[first:last], rows[first:last] = every[best], names[best]
    return keys[last - 1]


if config.DISABLE_JIT:
    _insert = _insert_in_numpy


@njit(**INNER)
def offer(
    masks: np.ndarray,
    products: np.ndarray,
    group: int,
    block: int,
    keys: np.ndarray,
    rows: np.ndarray,
    size: int,
    limits: np.ndarray,
    q: int,
) -> None:
    """Offer one block's lanes that were below the limits of queries q:q+group; keys, rows: flat, a list per query.

    The limits become the new worst keys.
    """
    for j in range(group):
        if masks[j] != np.uint64(0):
            first = (q + j) * size
            limits[q + j] = _insert(keys, rows, first, size, masks[j], products, j * LANES, block * LANES)
