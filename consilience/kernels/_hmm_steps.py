"""One row's step of the recursions, for eight segments at once.

For up to ``WRITTEN_OUT`` states every product is written out, so that a row's numbers stay in registers and nothing
branches; beyond, the step loops. Both compute the same in the same order up to rounding. Arrays are flat, lanes as in
``_hmm_scaled``.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.extending import intrinsic

from consilience.kernels import _hmm_lanes
from consilience.kernels._compiling import INLINED
from consilience.kernels._hmm_emission import BLOCK
from consilience.kernels._hmm_lanes import LANES, larger, load, prefer, select, shrink, splat, store, store_bytes

WRITTEN_OUT = 4  # states; their predecessors on the best path fit into one byte per lane


# -- beyond that: loops ----------------------------------------------------------------------------------------


@njit(**INLINED)
def _forward_loop(
    density: np.ndarray,
    alpha: np.ndarray,
    at: int,
    transmat: np.ndarray,
    inverse: Any,
    k: int,
) -> Any:
    before = at - k * LANES
    scale = splat(0.0)
    for j in range(k):
        p = splat(0.0)
        for i in range(k):
            p = p + load(alpha, before + i * LANES) * splat(transmat[i * k + j])
        p = p * (load(density, at + j * LANES) * inverse)
        store(alpha, at + j * LANES, p)
        scale = scale + p
    return scale


@njit(**INLINED)
def _back_loop(
    weight: np.ndarray,
    gamma: np.ndarray,
    share: np.ndarray,
    kept: int,
    transmat: np.ndarray,
    density: np.ndarray,
    alpha: np.ndarray,
    at: int,
    rescale: Any,
    going: Any,
    own: Any,
    counted: Any,
    k: int,
) -> Any:
    zero, one = splat(0.0), splat(1.0)
    norm, size, mass = zero, zero, zero
    after = kept + k * LANES
    for i in range(k):
        b = zero
        for j in range(k):
            b = b + load(weight, after + j * LANES) * splat(transmat[i * k + j])
        b = select(going, b * rescale, one)
        store(gamma, kept + i * LANES, b)
        a = load(alpha, at + i * LANES)
        w = load(density, at + i * LANES) * b
        store(weight, kept + i * LANES, w)
        norm = norm + b * a
        size = size + w
        mass = mass + a
    inverse = one / norm
    owned = select(own, inverse, zero)
    shared = select(counted, inverse, zero) * rescale
    for i in range(k):
        a = load(alpha, at + i * LANES)
        store(gamma, kept + i * LANES, a * (load(gamma, kept + i * LANES) * owned))
        store(share, kept + i * LANES, a * shared)
    return norm * shrink(mass), shrink(size)


@njit(**INLINED)
def _climb_loop(
    delta: np.ndarray,
    density: np.ndarray,
    at: int,
    log_trans: np.ndarray,
    before: Any,
    going: Any,
    back: np.ndarray,
    here: int,
    k: int,
) -> Any:
    top = splat(-np.inf)
    fresh = k * LANES
    for j in range(k):
        best, arg = load(delta, 0) + splat(log_trans[j]), splat(0.0)
        for i in range(1, k):
            value = load(delta, i * LANES) + splat(log_trans[i * k + j])
            arg = prefer(value, best, splat(float(i)), arg)
            best = larger(value, best)
        store_bytes(back, here + j * LANES, select(going, arg, splat(float(j))))
        best = best + (load(density, at + j * LANES) - before)
        store(delta, fresh + j * LANES, best)
        top = larger(best, top)
    for j in range(k):
        store(delta, j * LANES, select(going, load(delta, fresh + j * LANES), load(delta, j * LANES)))
    return top


@njit(**INLINED)
def _transitions_loop(share: np.ndarray, weight: np.ndarray, sums: np.ndarray, k: int) -> None:
    stride = k * LANES
    for i in range(k):
        for j in range(k):
            a, b, c, d = load(sums, (i * k + j) * LANES), splat(0.0), splat(0.0), splat(0.0)
            here, after = i * LANES, stride + j * LANES
            for _ in range(BLOCK // 4):  # four sums at once, or each would wait for the one before
                a = a + load(share, here) * load(weight, after)
                b = b + load(share, here + stride) * load(weight, after + stride)
                c = c + load(share, here + 2 * stride) * load(weight, after + 2 * stride)
                d = d + load(share, here + 3 * stride) * load(weight, after + 3 * stride)
                here += 4 * stride
                after += 4 * stride
            store(sums, (i * k + j) * LANES, (a + b) + (c + d))


# -- written out -----------------------------------------------------------------------------------------------


class _Emitter:
    """Loads, stores and arithmetic on the arguments of one intrinsic."""

    def __init__(self, context: Any, builder: Any, sig: Any, args: Any) -> None:
        self.builder = builder
        self._context, self._sig, self._args = context, sig, args

    def _place(self, argument: int, at: Any, row: int, size: int = LANES) -> Any:
        array = self._context.make_array(self._sig.args[argument])
        data = array(self._context, self.builder, self._args[argument]).data
        return self.builder.gep(data, [self.builder.add(at, ir.Constant(ir.IntType(64), row * size))])

    def load(self, argument: int, at: Any, row: int) -> Any:
        return _hmm_lanes.vector_load(self.builder, self._place(argument, at, row))

    def store(self, argument: int, at: Any, row: int, value: Any) -> None:
        _hmm_lanes.vector_store(self.builder, value, self._place(argument, at, row))

    def spread(self, argument: int, number: int) -> Any:
        """One number of an array of numbers, in every lane."""
        place = self._place(argument, ir.Constant(ir.IntType(64), 0), number, 1)
        return _hmm_lanes.vector_splat(self.builder, self.builder.load(place))

    def dot(self, left: list[Any], right: list[Any]) -> Any:
        total = _hmm_lanes.multiply(self.builder, left[0], right[0])
        for a, b in zip(left[1:], right[1:]):
            total = _hmm_lanes.multiply_add(self.builder, a, b, total)
        return total

    def total(self, terms: list[Any]) -> Any:
        """A sum in pairs: the fewest additions that wait for each other."""
        while len(terms) > 1:
            pairs = [_hmm_lanes.add(self.builder, a, b) for a, b in zip(terms[::2], terms[1::2])]
            terms = pairs + ([terms[-1]] if len(terms) % 2 else [])
        return terms[0]


def _forward(k: int) -> Any:
    def typed(typing: Any, density: Any, alpha: Any, at: Any, transmat: Any, inverse: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            emit = _Emitter(context, builder, sig, args)
            old = [emit.load(1, args[2], i - k) for i in range(k)]
            new = []
            for j in range(k):
                p = emit.dot(old, [emit.spread(3, i * k + j) for i in range(k)])
                b = _hmm_lanes.multiply(builder, emit.load(0, args[2], j), args[4])
                new.append(_hmm_lanes.multiply(builder, p, b))
                emit.store(1, args[2], j, new[-1])
            return emit.total(new)

        lanes, size = _hmm_lanes.LANES_TYPE, types.intp
        return lanes(density, alpha, size, transmat, lanes), generate

    return intrinsic(typed)


def _back(k: int) -> Any:
    def typed(
        typing: Any,
        weight: Any,
        gamma: Any,
        share: Any,
        kept: Any,
        transmat: Any,
        density: Any,
        alpha: Any,
        at: Any,
        rescale: Any,
        going: Any,
        own: Any,
        counted: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            emit = _Emitter(context, builder, sig, args)
            kept, (at, rescale, going, own, counted) = args[3], args[7:]
            zero, one = _hmm_lanes.vector(0.0), _hmm_lanes.vector(1.0)
            later = [emit.load(0, kept, k + j) for j in range(k)]
            beta = [emit.dot(later, [emit.spread(4, i * k + j) for j in range(k)]) for i in range(k)]
            beta = [
                _hmm_lanes.vector_select(builder, going, _hmm_lanes.multiply(builder, b, rescale), one) for b in beta
            ]
            weights = [_hmm_lanes.multiply(builder, emit.load(5, at, i), b) for i, b in enumerate(beta)]
            for i, w in enumerate(weights):
                emit.store(0, kept, i, w)
            a = [emit.load(6, at, i) for i in range(k)]
            norm = emit.dot(a, beta)
            inverse = builder.fdiv(one, norm)
            owned = _hmm_lanes.vector_select(builder, own, inverse, zero)
            shared = _hmm_lanes.vector_select(builder, counted, inverse, zero)
            shared = _hmm_lanes.multiply(builder, shared, rescale)
            for i in range(k):
                posterior = _hmm_lanes.multiply(builder, a[i], _hmm_lanes.multiply(builder, beta[i], owned))
                emit.store(1, kept, i, posterior)
                emit.store(2, kept, i, _hmm_lanes.multiply(builder, a[i], shared))
            water = _hmm_lanes.multiply(builder, norm, _hmm_lanes.vector_shrink(builder, emit.total(a)))
            rescaled = _hmm_lanes.vector_shrink(builder, emit.total(weights))
            return context.make_tuple(builder, sig.return_type, [water, rescaled])

        lanes, size = _hmm_lanes.LANES_TYPE, types.intp
        masks = (lanes, lanes, lanes)
        signature = types.UniTuple(lanes, 2)(weight, gamma, share, size, transmat, density, alpha, size, lanes, *masks)
        return signature, generate

    return intrinsic(typed)


def _climb(k: int) -> Any:
    def typed(
        typing: Any, delta: Any, density: Any, at: Any, log_trans: Any, before: Any, going: Any, back: Any, here: Any
    ) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            emit = _Emitter(context, builder, sig, args)
            at, before, going, here = args[2], args[4], args[5], args[7]
            origin = ir.Constant(ir.IntType(64), 0)
            old = [emit.load(0, origin, i) for i in range(k)]
            new, code = [], _hmm_lanes.words(0)
            for j in range(k):
                # a knock-out in pairs, the earlier state winning ties; its number is kept already shifted to its place
                field = [
                    (_hmm_lanes.add(builder, old[i], emit.spread(3, i * k + j)), _hmm_lanes.words(i << 2 * j))
                    for i in range(k)
                ]
                while len(field) > 1:
                    won = []
                    for (a, name), (b, other) in zip(field[::2], field[1::2]):
                        later = builder.fcmp_ordered(">", b, a)
                        won.append((_hmm_lanes.vector_larger(builder, b, a), builder.select(later, other, name)))
                    field = won + ([field[-1]] if len(field) % 2 else [])
                best, name = field[0]
                code = builder.or_(code, name)
                gain = builder.fsub(emit.load(1, at, j), before)
                new.append(_hmm_lanes.add(builder, best, gain))
            for j in range(k):
                emit.store(0, origin, j, _hmm_lanes.vector_select(builder, going, new[j], old[j]))
            same = _hmm_lanes.words(sum(j << 2 * j for j in range(k)))
            code = builder.select(builder.fcmp_unordered("!=", going, _hmm_lanes.vector(0.0)), code, same)
            small = ir.VectorType(ir.IntType(8), LANES)
            data = context.make_array(sig.args[6])(context, builder, args[6]).data
            place = builder.bitcast(builder.gep(data, [here]), small.as_pointer())
            builder.store(builder.trunc(code, small), place, align=1)
            while len(new) > 1:
                pairs = [_hmm_lanes.vector_larger(builder, b, a) for a, b in zip(new[::2], new[1::2])]
                new = pairs + ([new[-1]] if len(new) % 2 else [])
            return new[0]

        lanes, size = _hmm_lanes.LANES_TYPE, types.intp
        return lanes(delta, density, size, log_trans, lanes, lanes, back, size), generate

    return intrinsic(typed)


def _transitions(k: int) -> Any:
    def typed(typing: Any, share: Any, weight: Any, sums: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            emit = _Emitter(context, builder, sig, args)
            word = ir.IntType(64)
            zero, stride = ir.Constant(word, 0), ir.Constant(word, k * LANES)
            before = builder.block
            loop, after = builder.append_basic_block("steps"), builder.append_basic_block("summed")
            initial = [emit.load(2, zero, pair) for pair in range(k * k)]
            builder.branch(loop)
            builder.position_at_end(loop)
            at = builder.phi(word)
            carried = [builder.phi(initial[0].type) for _ in initial]
            following = builder.add(at, stride)
            shares = [emit.load(0, at, i) for i in range(k)]
            weights = [emit.load(1, following, j) for j in range(k)]
            grown = [
                _hmm_lanes.multiply_add(builder, shares[pair // k], weights[pair % k], phi)
                for pair, phi in enumerate(carried)
            ]
            at.add_incoming(zero, before)
            at.add_incoming(following, loop)
            for phi, start, value in zip(carried, initial, grown):
                phi.add_incoming(start, before)
                phi.add_incoming(value, loop)
            more = builder.icmp_signed("<", following, ir.Constant(word, BLOCK * k * LANES))
            builder.cbranch(more, loop, after)
            builder.position_at_end(after)
            for pair, value in enumerate(grown):
                emit.store(2, zero, pair, value)
            return context.get_dummy_value()

        return types.void(share, weight, sums), generate

    return intrinsic(typed)


def _descend(typing: Any, back: Any, at: Any, state: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        small = ir.VectorType(ir.IntType(8), LANES)
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        code = builder.load(builder.bitcast(builder.gep(data, [args[1]]), small.as_pointer()), align=1)
        number = builder.bitcast(args[2], _hmm_lanes.words(0).type)
        code = builder.lshr(builder.zext(code, number.type), builder.shl(number, _hmm_lanes.words(1)))
        return builder.bitcast(builder.and_(code, _hmm_lanes.words(3)), args[2].type)

    lanes = _hmm_lanes.LANES_TYPE
    return lanes(back, types.intp, lanes), generate


if config.DISABLE_JIT:
    WRITTEN_OUT = 0

    def _always(loop: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: loop(*args[:-1])

    forward_step, back_step, climb_step = _always(_forward_loop), _always(_back_loop), _always(_climb_loop)
    add_transitions = _always(_transitions_loop)

    def descend_step(back: np.ndarray, at: int, state: np.ndarray) -> np.ndarray:
        """The states before ``state``, both as whole numbers in the bits of float64, from bytes of ``climb_step``."""
        number = state.view(np.int64)
        return ((back[at : at + LANES].astype(np.int64) >> 2 * number) & 3).view(np.float64)

else:
    _forward1, _forward2, _forward3, _forward4 = (_forward(k) for k in range(1, 5))
    _back1, _back2, _back3, _back4 = (_back(k) for k in range(1, 5))
    _climb1, _climb2, _climb3, _climb4 = (_climb(k) for k in range(1, 5))
    _transitions1, _transitions2, _transitions3, _transitions4 = (_transitions(k) for k in range(1, 5))
    descend_step = intrinsic(_descend)

    @njit(**INLINED)
    def forward_step(density, alpha, at, transmat, inverse, k, many):  # type: ignore[no-untyped-def]
        """Filter one row: alpha[at:] from the row before it, densities and the factor that keeps numbers near 1.

        Gives their sum.
        """
        if many is not None:
            return _forward_loop(density, alpha, at, transmat, inverse, k)
        if k == 1:
            return _forward1(density, alpha, at, transmat, inverse)
        if k == 2:
            return _forward2(density, alpha, at, transmat, inverse)
        if k == 3:
            return _forward3(density, alpha, at, transmat, inverse)
        return _forward4(density, alpha, at, transmat, inverse)

    @njit(**INLINED)
    def back_step(weight, gamma, share, kept, transmat, density, alpha, at, rescale, going, own, counted, k, many):  # type: ignore[no-untyped-def]
        """Smooth one row.

        Parameters
        ----------
        weight : density · beta of the rows around ``kept``: the next row's is read at kept + K·8, this row's written.
        gamma, share : filled at kept: posteriors in the lanes of ``own``; alpha over the norm in the lanes of
            ``counted``, which times the next row's weight and the transition matrix is a posterior of transitions.
        rescale : the factor for beta. going : lanes whose segment has a next row.

        Gives the row's low water and the next factor.
        """
        if many is not None:
            return _back_loop(weight, gamma, share, kept, transmat, density, alpha, at, rescale, going, own, counted, k)
        if k == 1:
            return _back1(weight, gamma, share, kept, transmat, density, alpha, at, rescale, going, own, counted)
        if k == 2:
            return _back2(weight, gamma, share, kept, transmat, density, alpha, at, rescale, going, own, counted)
        if k == 3:
            return _back3(weight, gamma, share, kept, transmat, density, alpha, at, rescale, going, own, counted)
        return _back4(weight, gamma, share, kept, transmat, density, alpha, at, rescale, going, own, counted)

    @njit(**INLINED)
    def climb_step(delta, density, at, log_trans, before, going, back, here, k, many):  # type: ignore[no-untyped-def]
        """The best way into each state of the next row, in the lanes of ``going``; the others keep their delta.

        back[here:] is filled with the predecessors: of up to ``WRITTEN_OUT`` states two bits each in one byte per lane,
        else one byte per state and lane. ``before`` is what the last step gave: the largest delta, which is subtracted
        now, a step late, so that the next row need not wait for it.
        """
        if many is not None:
            return _climb_loop(delta, density, at, log_trans, before, going, back, here, k)
        if k == 1:
            return _climb1(delta, density, at, log_trans, before, going, back, here)
        if k == 2:
            return _climb2(delta, density, at, log_trans, before, going, back, here)
        if k == 3:
            return _climb3(delta, density, at, log_trans, before, going, back, here)
        return _climb4(delta, density, at, log_trans, before, going, back, here)

    @njit(**INLINED)
    def add_transitions(share, weight, sums, k, many):  # type: ignore[no-untyped-def]
        """sums[i·K + j] += Σ share(t, i) · weight(t + 1, j) over the steps of a block."""
        if many is not None:
            _transitions_loop(share, weight, sums, k)
        elif k == 1:
            _transitions1(share, weight, sums)
        elif k == 2:
            _transitions2(share, weight, sums)
        elif k == 3:
            _transitions3(share, weight, sums)
        else:
            _transitions4(share, weight, sums)
