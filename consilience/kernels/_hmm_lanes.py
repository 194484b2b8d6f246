"""Eight doubles at a time: a Numba type for one vector of LLVM's, with the few operations the HMM kernels need.

Numba cannot vectorise a recursion over time, so the kernels run eight stretches of rows side by side, one per lane, and
say so explicitly. LLVM cuts the vector into what the machine has. When the JIT is disabled the same kernels run on
NumPy arrays of eight, through the twins at the end of this file.
"""

import operator
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 8

_DOUBLE = ir.DoubleType()
_WORD = ir.IntType(64)
_VECTOR = ir.VectorType(_DOUBLE, LANES)
_WORDS = ir.VectorType(_WORD, LANES)
_CONTRACT = ("contract",)  # a product and a sum may become one fused operation

# exp(x) = 2^n · 2^r, |r| <= 1/2: the polynomial of degree 10 through (2^r - 1)/r at Chebyshev's nodes, solved in
# rational arithmetic; its error is 6e-16. Taking n out of x · log2(e) in one fused step leaves an error of |x| · 1e-16,
# which is that of the log density which x comes from.
_LOG2_E = 1.4426950408889634
_POLYNOMIAL = (
    1.0,
    0.6931471805599462,
    0.24022650695910075,
    0.05550410866465167,
    0.009618129107618665,
    0.0013333558200794592,
    0.00015403530424776529,
    1.5252672924850737e-05,
    1.3215451633221434e-06,
    1.0205905413765595e-07,
    7.070977866508138e-09,
)
_ROUND = 1.5 * 2.0**52
_TWO_52 = 0x4330000000000000  # the bits of 2^52
_EXP_FLOOR = -708.0  # below it, e^x is not a normal number; it becomes 0


class _Lanes(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Lanes")


LANES_TYPE = _Lanes()


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _VECTOR)


def _binary(op: Any, emit: Callable[[Any, Any, Any], Any]) -> None:
    @infer_global(op)
    class _Typing(ConcreteTemplate):
        cases: ClassVar[list[Any]] = [signature(LANES_TYPE, LANES_TYPE, LANES_TYPE)]

    @lower_builtin(op, LANES_TYPE, LANES_TYPE)
    def _lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return emit(builder, *args)


def add(builder: Any, a: Any, b: Any) -> Any:
    return builder.fadd(a, b, flags=_CONTRACT)


def multiply(builder: Any, a: Any, b: Any) -> Any:
    return builder.fmul(a, b, flags=_CONTRACT)


def multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a·b + c."""
    return _call(builder, "fmuladd", a, b, c)


_binary(operator.add, add)
_binary(operator.sub, lambda builder, a, b: builder.fsub(a, b, flags=_CONTRACT))
_binary(operator.mul, multiply)
_binary(operator.truediv, lambda builder, a, b: builder.fdiv(a, b))


def vector(value: float) -> ir.Constant:
    return ir.Constant(_VECTOR, [ir.Constant(_DOUBLE, value)] * LANES)


def words(value: int) -> ir.Constant:
    return ir.Constant(_WORDS, [ir.Constant(_WORD, value)] * LANES)


def _call(builder: Any, name: str, *operands: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * len(operands))
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f64")
    return builder.call(function, operands)


def _place(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


def vector_splat(builder: Any, value: Any) -> Any:
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [ir.Constant(ir.IntType(32), 0)] * LANES)
    return builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), zeros)


def vector_load(builder: Any, place: Any) -> Any:
    return builder.load(builder.bitcast(place, _VECTOR.as_pointer()), align=8)


def vector_store(builder: Any, value: Any, place: Any) -> None:
    builder.store(value, builder.bitcast(place, _VECTOR.as_pointer()), align=8)


def vector_select(builder: Any, mask: Any, yes: Any, no: Any) -> Any:
    """``yes`` in the lanes where the mask is not 0."""
    return builder.select(builder.fcmp_unordered("!=", mask, vector(0.0)), yes, no)


def vector_larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _smaller(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", b, a), b, a)  # a NaN in b leaves a


def _exp(builder: Any, x: Any) -> Any:
    below = builder.fcmp_ordered("<", x, vector(_EXP_FLOOR))
    # adding 1.5 · 2^52 rounds to a whole number, and leaves it in the last bits, from where it goes to the exponent
    shifted = multiply_add(builder, x, vector(_LOG2_E), vector(_ROUND))
    n = builder.fsub(shifted, vector(_ROUND))
    r = multiply_add(builder, x, vector(_LOG2_E), builder.fneg(n))
    total = vector(_POLYNOMIAL[-1])
    for coefficient in reversed(_POLYNOMIAL[:-1]):
        total = multiply_add(builder, total, r, vector(coefficient))
    power = builder.shl(builder.bitcast(shifted, _WORDS), words(52))
    scaled = builder.bitcast(builder.add(builder.bitcast(total, _WORDS), power), _VECTOR)
    return builder.select(below, vector(0.0), scaled)


def _simple(emit: Callable[..., Any], n_operands: int) -> Any:
    """An intrinsic of so many vectors that gives one vector."""

    def typed(operands: tuple[Any, ...]) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return emit(builder, *args)

        return LANES_TYPE(*operands), generate

    if n_operands == 1:
        return intrinsic(lambda typing, a: typed((a,)))
    if n_operands == 2:
        return intrinsic(lambda typing, a, b: typed((a, b)))
    if n_operands == 3:
        return intrinsic(lambda typing, a, b, c: typed((a, b, c)))
    if n_operands == 4:
        return intrinsic(lambda typing, a, b, c, d: typed((a, b, c, d)))
    return intrinsic(lambda typing, a, b, c, d, e: typed((a, b, c, d, e)))


def _inside(builder: Any, t: Any, low: Any, high: Any, yes: Any, no: Any) -> Any:
    mask = builder.and_(builder.fcmp_ordered("<=", low, t), builder.fcmp_ordered("<", t, high))
    return builder.select(mask, yes, no)


def _prefer(builder: Any, a: Any, b: Any, yes: Any, no: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), yes, no)


def _exponent(builder: Any, x: Any) -> Any:
    """e of x = m · 2^e, 1 <= m < 2, for x > 0; the bits of 2^52 take e in without a conversion, which AVX2 lacks."""
    bits = builder.or_(builder.lshr(builder.bitcast(x, _WORDS), words(52)), words(_TWO_52))
    return builder.fsub(builder.bitcast(bits, _VECTOR), vector(2.0**52 + 1023))


def vector_shrink(builder: Any, x: Any) -> Any:
    """2^-e for x = m · 2^e, 1 <= m < 2: a rescaling without a division, and without rounding."""
    bits = builder.and_(builder.bitcast(x, _WORDS), words(2047 << 52))
    return builder.bitcast(builder.sub(words(2046 << 52), bits), _VECTOR)


def _each(context: Any, builder: Any, sig: Any, args: Any) -> list[Any]:
    """The eight places array[(rows[lane] + start) · width + offset]."""
    array, rows, start, width, offset = args[:5]
    data = context.make_array(sig.args[0])(context, builder, array).data
    rows = context.make_array(sig.args[1])(context, builder, rows).data
    places = []
    for lane in range(LANES):
        row = builder.add(builder.load(builder.gep(rows, [ir.Constant(_WORD, lane)])), start)
        places.append(builder.gep(data, [builder.add(builder.mul(row, width), offset)]))
    return places


def _load(typing: Any, array: Any, offset: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _place(context, builder, sig.args[0], *args)
        return builder.load(builder.bitcast(place, _VECTOR.as_pointer()), align=8)

    return LANES_TYPE(array, types.intp), generate


def _store(typing: Any, array: Any, offset: Any, vector: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _place(context, builder, sig.args[0], args[0], args[1])
        builder.store(args[2], builder.bitcast(place, _VECTOR.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


def _shuffle(builder: Any, a: Any, b: Any, order: list[int]) -> Any:
    """Lanes of a (0-7) and b (8-15) in the given order."""
    wanted = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [ir.Constant(ir.IntType(32), i) for i in order])
    return builder.shuffle_vector(a, b, wanted)


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Eight vectors as the columns of an 8 x 8 square, in three rounds that exchange ever smaller squares."""
    for half in (4, 2, 1):
        low = [lane for lane in range(LANES) if not lane & half]
        first = [i if not i & half else i - half + LANES for i in range(LANES)]
        second = [i + half if not i & half else i + LANES for i in range(LANES)]
        swapped = list(rows)
        for i in low:
            swapped[i] = _shuffle(builder, rows[i], rows[i + half], first)
            swapped[i + half] = _shuffle(builder, rows[i], rows[i + half], second)
        rows = swapped
    return rows


def _vector_at(builder: Any, data: Any, offset: Any) -> Any:
    return builder.bitcast(builder.gep(data, [offset]), _VECTOR.as_pointer())


def _gather_square(typing: Any, array: Any, rows: Any, start: Any, width: Any, offset: Any, out: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        rows = [
            builder.load(builder.bitcast(place, _VECTOR.as_pointer()), align=8)
            for place in _each(context, builder, sig, args)
        ]
        target = context.make_array(sig.args[5])(context, builder, args[5]).data
        for i, column in enumerate(_transposed(builder, rows)):
            place = builder.add(args[6], ir.Constant(_WORD, i * LANES))
            builder.store(column, _vector_at(builder, target, place), align=8)
        return context.get_dummy_value()

    return types.void(array, rows, types.intp, types.intp, types.intp, out, types.intp), generate


def _scatter_square(
    typing: Any, array: Any, rows: Any, start: Any, width: Any, offset: Any, source: Any, at: Any
) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[5])(context, builder, args[5]).data
        columns = [
            builder.load(_vector_at(builder, data, builder.add(args[6], ir.Constant(_WORD, i * LANES))), align=8)
            for i in range(LANES)
        ]
        for place, row in zip(_each(context, builder, sig, args), _transposed(builder, columns)):
            builder.store(row, builder.bitcast(place, _VECTOR.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(array, rows, types.intp, types.intp, types.intp, source, types.intp), generate


def _store_bytes(typing: Any, array: Any, offset: Any, vector: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _place(context, builder, sig.args[0], args[0], args[1])
        small = ir.VectorType(ir.IntType(8), LANES)
        value = builder.trunc(builder.fptosi(args[2], ir.VectorType(ir.IntType(32), LANES)), small)
        builder.store(value, builder.bitcast(place, small.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


def _spread(typing: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return vector_splat(builder, args[0])

    return LANES_TYPE(types.float64), generate


if not config.DISABLE_JIT:
    load = intrinsic(_load)
    store = intrinsic(_store)
    store_bytes = intrinsic(_store_bytes)
    splat = intrinsic(_spread)
    exp = _simple(_exp, 1)
    exponent = _simple(_exponent, 1)
    shrink = _simple(vector_shrink, 1)
    gather_square = intrinsic(_gather_square)
    scatter_square = intrinsic(_scatter_square)
    larger = _simple(vector_larger, 2)
    smaller = _simple(_smaller, 2)
    select = _simple(vector_select, 3)
    inside = _simple(_inside, 5)
    prefer = _simple(_prefer, 4)
else:

    def load(array: np.ndarray, offset: int) -> np.ndarray:
        return array[offset : offset + LANES].copy()

    def store(array: np.ndarray, offset: int, vector: np.ndarray) -> None:
        array[offset : offset + LANES] = vector

    store_bytes = store

    def splat(value: float) -> np.ndarray:
        return np.full(LANES, value)

    def exp(x: np.ndarray) -> np.ndarray:
        return np.where(x < _EXP_FLOOR, 0.0, np.exp(larger(x, np.full(LANES, _EXP_FLOOR))))

    def exponent(x: np.ndarray) -> np.ndarray:
        return np.frexp(x)[1] - 1.0

    def shrink(x: np.ndarray) -> np.ndarray:
        return np.ldexp(1.0, 1 - np.frexp(x)[1])

    def _square(rows: np.ndarray, start: int, width: int, offset: int) -> np.ndarray:
        """(8, 8) places (rows[lane] + start) · width + offset + i; rows may be those of a table, first of all."""
        return (rows.reshape(-1)[:LANES] + start) * width + offset + np.arange(LANES)[:, None]

    def gather_square(
        array: np.ndarray, rows: np.ndarray, start: int, width: int, offset: int, out: np.ndarray, at: int
    ) -> None:
        """out[at + 8·i + lane] = array[(rows[lane] + start)·width + offset + i], i < 8: from rows to lanes."""
        out[at : at + LANES * LANES] = array[_square(rows, start, width, offset)].ravel()

    def scatter_square(
        array: np.ndarray, rows: np.ndarray, start: int, width: int, offset: int, source: np.ndarray, at: int
    ) -> None:
        """array[(rows[lane] + start)·width + offset + i] = source[at + 8·i + lane], i < 8: from lanes to rows."""
        array[_square(rows, start, width, offset)] = source[at : at + LANES * LANES].reshape(LANES, LANES)

    def larger(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.where(a > b, a, b)

    def smaller(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.where(b < a, b, a)

    def select(mask: np.ndarray, yes: np.ndarray, no: np.ndarray) -> np.ndarray:
        """``yes`` in the lanes where the mask is not 0."""
        return np.where(mask != 0, yes, no)

    def inside(t: np.ndarray, low: np.ndarray, high: np.ndarray, yes: np.ndarray, no: np.ndarray) -> np.ndarray:
        """``yes`` in the lanes where low <= t < high."""
        return np.where((low <= t) & (t < high), yes, no)

    def prefer(a: np.ndarray, b: np.ndarray, yes: np.ndarray, no: np.ndarray) -> np.ndarray:
        """``yes`` in the lanes where a > b."""
        return np.where(a > b, yes, no)
