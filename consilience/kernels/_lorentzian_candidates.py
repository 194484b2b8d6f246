"""The best candidates of a query so far: ascending lists that fit vector registers, heaps beyond.

A list of up to ``LISTED`` candidates is kept in rows of exactly ``LISTED``, filled from the right; what is left over on
the left is ``NOBODY``, below every key, and stays. So its worst key is always the last one, and a candidate is put into
its place in a few steps without a branch: which entries stay, which come from the left, and which one is new are
comparisons of whole vectors. In sorted lists that go entry by entry, mispredicted branches took most of a search.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.extending import intrinsic

from consilience.kernels._compiling import INNER, called
from consilience.kernels._lorentzian_lanes import LANES, lowest_bit

LISTED = 16
NOBODY = -1.0  # keys are products of 1 + gap, so none is negative
_SIZE = ir.IntType(64)


@called
def width(n_candidates: int) -> int:
    """How wide a row of keys has to be for so many candidates."""
    return LISTED if n_candidates <= LISTED else n_candidates


@called
def clear(keys: np.ndarray, n_candidates: int) -> None:
    """Make the rows of keys (n, width) empty lists of so many candidates."""
    nobody = keys.shape[1] - n_candidates
    for row in range(keys.shape[0]):
        for place in range(keys.shape[1]):
            keys[row, place] = NOBODY if place < nobody else np.inf


@intrinsic
def _insert(typing: Any, keys: Any, rows: Any, first: Any, mask: Any, products: Any, at: Any, row: Any) -> Any:
    """Put every lane of the mask, which is not 0, into the list keys[first:first+LISTED]; give the new worst key.

    A lane's key is products[at + lane], its row is row + lane. Of equal keys, the earlier one is the better.
    """

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        number = ir.IntType(32)
        key_type, row_type = ir.VectorType(ir.FloatType(), LISTED), ir.VectorType(number, LISTED)
        to_the_right = ir.Constant(ir.VectorType(number, LISTED), [LISTED, *range(LISTED - 1)])
        lowest = ir.Constant(key_type, [ir.Constant(ir.FloatType(), -np.inf)] * LISTED)

        def pointer(position: int) -> Any:
            return context.make_array(sig.args[position])(context, builder, args[position]).data

        def everywhere(value: Any, kind: Any) -> Any:
            empty = ir.Constant(kind, ir.Undefined)
            first = builder.insert_element(empty, value, ir.Constant(number, 0))
            return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(number, LISTED), [0] * LISTED))

        places = [
            builder.bitcast(builder.gep(pointer(position), [args[2]]), kind.as_pointer())
            for position, kind in enumerate((key_type, row_type))
        ]
        found = builder.gep(pointer(4), [args[5]])
        start, loop, after = builder.block, builder.append_basic_block("lanes"), builder.append_basic_block("done")
        first_key, first_row = (builder.load(place, align=4) for place in places)
        builder.branch(loop)
        builder.position_at_end(loop)
        waiting, listed, names = builder.phi(_SIZE), builder.phi(key_type), builder.phi(row_type)
        lane = builder.cttz(waiting, ir.Constant(ir.IntType(1), 1))
        key = everywhere(builder.load(builder.gep(found, [lane]), align=4), key_type)
        name = everywhere(builder.trunc(builder.add(args[6], lane), number), row_type)
        left = builder.shuffle_vector(listed, lowest, to_the_right)
        stays, comes = builder.fcmp_ordered("<=", listed, key), builder.fcmp_ordered(">", left, key)
        new_keys = builder.select(stays, listed, builder.select(comes, left, key))
        moved = builder.shuffle_vector(names, names, to_the_right)
        new_names = builder.select(stays, names, builder.select(comes, moved, name))
        rest = builder.and_(waiting, builder.sub(waiting, ir.Constant(_SIZE, 1)))
        for phi, before, following in (
            (waiting, args[3], rest),
            (listed, first_key, new_keys),
            (names, first_row, new_names),
        ):
            phi.add_incoming(before, start)
            phi.add_incoming(following, builder.block)
        builder.cbranch(builder.icmp_unsigned("!=", rest, ir.Constant(_SIZE, 0)), loop, after)
        builder.position_at_end(after)
        for place, value in zip(places, (new_keys, new_names)):
            builder.store(value, place, align=4)
        return builder.extract_element(new_keys, ir.Constant(number, LISTED - 1))

    signature = types.float32(keys, rows, types.intp, types.uint64, products, types.intp, types.intp)
    return signature, generate


def _insert_in_numpy(
    keys: np.ndarray, rows: np.ndarray, first: int, mask: int, products: np.ndarray, at: int, row: int
) -> np.float32:
    lanes = np.flatnonzero(int(mask) >> np.arange(LANES, dtype=object) & 1)
    last = first + LISTED
    every = np.concatenate([keys[first:last], products[at + lanes]])
    names = np.concatenate([rows[first:last], row + lanes])
    best = np.argsort(every, kind="stable")[:LISTED]
    keys[first:last], rows[first:last] = every[best], names[best]
    return keys[last - 1]


if config.DISABLE_JIT:
    _insert = _insert_in_numpy


@njit(**INNER)
def _sift(keys: np.ndarray, rows: np.ndarray, first: int, size: int, key: np.float32, row: int) -> None:
    """Replace the top of the heap keys[first:first+size], its worst, by (key, row)."""
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and keys[first + child + 1] > keys[first + child]:
            child += 1
        if keys[first + child] <= key:
            break
        keys[first + place] = keys[first + child]
        rows[first + place] = rows[first + child]
        place = child
    keys[first + place] = key
    rows[first + place] = row


@njit(**INNER)
def ascending(keys: np.ndarray, rows: np.ndarray, first: int, size: int) -> None:
    """Turn a heap into an ascending list; what is no heap is one already."""
    if size != LISTED:
        for end in range(size - 1, 0, -1):
            key, row = keys[first + end], rows[first + end]
            keys[first + end], rows[first + end] = keys[first], rows[first]
            _sift(keys, rows, first, end, key, row)


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
    """Offer one block's lanes that were below the limits of queries q:q+group, which become the new worst keys.

    keys, rows : flat, with a list of LISTED or, of any other size, a heap (worst first) per query.
    """
    for j in range(group):
        mask, first = masks[j], (q + j) * size
        if mask == np.uint64(0):
            continue
        if size == LISTED:
            limits[q + j] = _insert(keys, rows, first, mask, products, j * LANES, block * LANES)
            continue
        while mask != np.uint64(0):
            lane = lowest_bit(mask)
            mask &= mask - np.uint64(1)
            if products[j * LANES + lane] < keys[first]:
                _sift(keys, rows, first, size, products[j * LANES + lane], block * LANES + lane)
        limits[q + j] = keys[first]
