"""Kernels in vector registers for the compiled loops of :mod:`xpnet.ops._numba`.

A compiler does not keep a whole tile of a matrix product in registers by itself; these kernels
write the instructions down: loads, products that are added to sums, shuffles.  Each is a function
that compiled loops call with flat arrays and places in them; no place is checked.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = [
    "CELLS",
    "DEPTH",
    "FILTERS",
    "FUSED",
    "PANEL",
    "ROWS",
    "VECTORS",
    "VECTOR_BYTES",
    "copy",
    "copy_where",
    "dots",
    "high_product",
    "outer",
    "panel",
    "pool_rows",
    "products",
    "transpose_block",
    "unpool_row",
]


def _features() -> frozenset[str]:
    if config.CPU_FEATURES is not None:
        return frozenset(f[1:] for f in config.CPU_FEATURES.split(",") if f.startswith("+"))
    return frozenset(f for f, there in llvmlite.binding.get_host_cpu_features().items() if there)


FEATURES = _features()
VECTOR_BYTES = 64 if "avx512f" in FEATURES else 32 if "avx2" in FEATURES else 16
FUSED = bool(FEATURES & {"fma", "neon"})
"""Whether the processor multiplies and adds in one instruction; without, the kernels are slow."""
MANY_REGISTERS = bool(FEATURES & {"avx512f", "neon"})
FILTERS = 4
VECTORS = (4, 5, 6) if MANY_REGISTERS else (1, 2, 3)
"""A kernel of products fills FILTERS times one of VECTORS registers with sums ..."""
CELLS = 6 if MANY_REGISTERS else 3
"""... and one of dot products FILTERS times CELLS."""
ROWS = 6
PANEL = 4 if MANY_REGISTERS else 2
"""A kernel of a matrix product fills ROWS times at most PANEL registers."""
DEPTH = 192
"""Rows of a wide second matrix that are copied together: PANEL registers by DEPTH fit a cache."""


class Emitter:
    """Writes the instructions of a kernel that works on vectors of one dtype."""

    def __init__(self, context: Any, builder: Any, dtype: Any) -> None:
        self.context, self.builder = context, builder
        self.number = context.get_value_type(dtype)
        self.lanes = VECTOR_BYTES * 8 // dtype.bitwidth
        self.vector = ir.VectorType(self.number, self.lanes)
        self.mangled = f"v{self.lanes}f{dtype.bitwidth}"
        self.align = dtype.bitwidth // 8

    def data(self, kind: Any, array: Any) -> Any:
        return self.context.make_array(kind)(self.context, self.builder, array).data

    def plus(self, a: Any, b: Any) -> Any:
        return self.builder.add(a, ir.Constant(a.type, b) if isinstance(b, int) else b)

    def times(self, a: Any, b: Any) -> Any:
        return self.builder.mul(a, ir.Constant(a.type, b) if isinstance(b, int) else b)

    def element(self, base: Any, index: Any) -> Any:
        return self.builder.load(self.builder.gep(base, [index]))

    def _address(self, base: Any, index: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(base, [index]), self.vector.as_pointer())

    def load(self, base: Any, index: Any) -> Any:
        return self.builder.load(self._address(base, index), align=self.align)

    def store(self, vector: Any, base: Any, index: Any) -> None:
        self.builder.store(vector, self._address(base, index), align=self.align)

    def first(self, count: Any) -> Any:
        """Return a mask of the first numbers of a vector."""
        order = self.integers(list(range(self.lanes)), 8)
        room = self.builder.icmp_signed("<", count, ir.Constant(count.type, self.lanes))
        count = self.builder.select(room, count, ir.Constant(count.type, self.lanes))
        limit = self.spread(self.builder.trunc(count, ir.IntType(8)))
        return self.builder.icmp_signed("<", order, limit)

    def load_first(self, base: Any, index: Any, mask: Any) -> Any:
        """Return the numbers of a mask, zeros in the other places; reads nothing else."""
        place = self._address(base, index)
        kind = ir.FunctionType(self.vector, [place.type, ir.IntType(32), mask.type, self.vector])
        name = f"llvm.masked.load.{self.mangled}.p0"
        load = cgutils.get_or_insert_function(self.builder.module, kind, name)
        align = ir.Constant(ir.IntType(32), self.align)
        return self.builder.call(load, [place, align, mask, self.zero])

    def store_first(self, vector: Any, base: Any, index: Any, mask: Any) -> None:
        """Write the numbers of a mask and nothing else; many times slower than a whole store."""
        place = self._address(base, index)
        kind = ir.FunctionType(ir.VoidType(), [self.vector, place.type, ir.IntType(32), mask.type])
        name = f"llvm.masked.store.{self.mangled}.p0"
        store = cgutils.get_or_insert_function(self.builder.module, kind, name)
        align = ir.Constant(ir.IntType(32), self.align)
        self.builder.call(store, [vector, place, align, mask])

    def spread(self, number: Any) -> Any:
        """Return a vector of copies of one number."""
        undefined = ir.Constant(ir.VectorType(number.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
        return self._shuffled(first, undefined, [0] * self.lanes)

    def integers(self, values: list[int], bits: int) -> Any:
        return ir.Constant(ir.VectorType(ir.IntType(bits), self.lanes), values)

    def evens_and_odds(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Return every other number of two vectors one after the other, from 0 and from 1."""
        return self._shuffled(a, b, range(0, 2 * self.lanes, 2)), self._shuffled(
            a, b, range(1, 2 * self.lanes, 2)
        )

    def zipped(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Return a[0], b[0], a[1], b[1] ... as two vectors."""
        order = [v for i in range(self.lanes) for v in (i, self.lanes + i)]
        return self._shuffled(a, b, order[: self.lanes]), self._shuffled(a, b, order[self.lanes :])

    def _shuffled(self, a: Any, b: Any, order: Any) -> Any:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), list(order))
        return self.builder.shuffle_vector(a, b, mask)

    @property
    def zero(self) -> Any:
        return ir.Constant(self.vector, [0.0] * self.lanes)

    def sums(self, count: int, initial: Any) -> list[Any]:
        """Return registers for sums."""
        registers = [cgutils.alloca_once(self.builder, self.vector) for _ in range(count)]
        for register in registers:
            self.builder.store(initial, register)
        return registers

    def add_product(self, register: Any, a: Any, b: Any) -> None:
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        name = f"llvm.fma.{self.mangled}"
        fma = cgutils.get_or_insert_function(self.builder.module, kind, name)
        total = self.builder.call(fma, [a, b, self.builder.load(register)])
        self.builder.store(total, register)

    def at_least(self, floor: Any, vector: Any) -> Any:
        """Return the larger of each two numbers; a NaN stays."""
        below = self.builder.fcmp_ordered("<", vector, floor)
        return self.builder.select(below, floor, vector)

    def across(self, vector: Any) -> Any:
        """Return the sum of a vector's numbers."""
        kind = ir.FunctionType(self.number, [self.number, self.vector])
        name = f"llvm.vector.reduce.fadd.{self.mangled}"
        reduce = cgutils.get_or_insert_function(self.builder.module, kind, name)
        zero = ir.Constant(self.number, 0.0)
        return self.builder.call(reduce, [zero, vector], fastmath=("reassoc",))


def products(vectors: int) -> Any:
    """Return the kernel of FILTERS rows of sums, each ``vectors`` registers wide.

    ``z[z_at + f z_row + v] = max(least, b[b_at + f] + sum over k < cells of
    W[W_at + k FILTERS + f] x[x_at + offsets[k] + v])``
    """

    @intrinsic
    def kernel(_, z, z_at, z_row, W, W_at, b, b_at, least, x, x_at, offsets, cells):
        whole = types.intp
        signature = types.void(z, whole, whole, W, whole, b, whole, least, x, whole, offsets, whole)

        def emit(context, builder, signature, args):
            _, z_at, z_row, _, W_at, _, b_at, least, _, x_at, _, cells = args
            kinds = signature.args
            e = Emitter(context, builder, kinds[0].dtype)
            z, W, b, x, offsets = (e.data(kinds[i], args[i]) for i in (0, 3, 5, 8, 10))
            biases = [e.spread(e.element(b, e.plus(b_at, f))) for f in range(FILTERS)]
            sums = [e.sums(vectors, bias) for bias in biases]
            with cgutils.for_range(builder, cells) as loop:
                at = e.plus(x_at, e.element(offsets, loop.index))
                seen = [e.load(x, e.plus(at, v * e.lanes)) for v in range(vectors)]
                weights = e.plus(W_at, e.times(loop.index, FILTERS))
                for f, row in enumerate(sums):
                    weight = e.spread(e.element(W, e.plus(weights, f)))
                    for register, pixels in zip(row, seen, strict=True):
                        e.add_product(register, weight, pixels)
            floor = e.spread(least)
            for f, row in enumerate(sums):
                start = e.plus(z_at, e.times(z_row, f))
                for v, register in enumerate(row):
                    total = e.at_least(floor, builder.load(register))
                    e.store(total, z, e.plus(start, v * e.lanes))
            return context.get_dummy_value()

        return signature, emit

    return kernel


def panel(vectors: int) -> Any:
    """Return the kernel of ROWS rows of a matrix product, each ``vectors`` registers wide.

    ``y[y_at + i y_row + j] = max(least, c[c_at + i c_row + j] + sum over k < depth of
    a[a_at + i a_row + k a_step] B[B_at + k B_row + j])``; of the last vector only the first
    ``tail`` numbers are read and written.
    """

    @intrinsic
    def kernel(
        _, y, y_at, y_row, c, c_at, c_row, a, a_at, a_row, a_step, B, B_at, B_row, depth, tail,
        least,
    ):  # fmt: skip
        i = types.intp
        signature = types.void(y, i, i, c, i, i, a, i, i, i, B, i, i, i, i, least)

        def emit(context, builder, signature, args):
            (_, y_at, y_row, _, c_at, c_row, _, a_at, a_row, a_step, _, B_at, B_row, depth,
             tail, least) = args  # fmt: skip
            kinds = signature.args
            e = Emitter(context, builder, kinds[0].dtype)
            y, c, a, B = (e.data(kinds[i], args[i]) for i in (0, 3, 6, 10))
            mask, inner = e.first(tail), range(vectors - 1)

            def row_of(base, start):
                last = e.load_first(base, e.plus(start, (vectors - 1) * e.lanes), mask)
                return [e.load(base, e.plus(start, v * e.lanes)) for v in inner] + [last]

            sums = []
            for i in range(ROWS):
                initial = row_of(c, e.plus(c_at, e.times(c_row, i)))
                sums.append([e.sums(1, vector)[0] for vector in initial])
            a_rows = [e.plus(a_at, e.times(a_row, i)) for i in range(ROWS)]
            with cgutils.for_range(builder, depth) as loop:
                seen = row_of(B, e.plus(B_at, builder.mul(loop.index, B_row)))
                k = builder.mul(loop.index, a_step)
                for start, row in zip(a_rows, sums, strict=True):
                    factor = e.spread(e.element(a, e.plus(start, k)))
                    for register, vector in zip(row, seen, strict=True):
                        e.add_product(register, factor, vector)
            floor = e.spread(least)
            for i, row in enumerate(sums):
                start = e.plus(y_at, e.times(y_row, i))
                for v, register in enumerate(row):
                    total = e.at_least(floor, builder.load(register))
                    place = e.plus(start, v * e.lanes)
                    if v in inner:
                        e.store(total, y, place)
                    else:
                        e.store_first(total, y, place, mask)
            return context.get_dummy_value()

        return signature, emit

    return kernel


def dots() -> Any:
    """Return the kernel of FILTERS times CELLS dot products over the images of a block.

    ``dW[dW_at + f dW_row + k] += sum over images s and o < steps lanes of
    z[z_at + s z_image + f z_row + o] x[s x_image + offsets[k_at + k] + o]``
    """

    @intrinsic
    def kernel(
        _, dW, dW_at, dW_row, z, z_at, z_row, z_image, x, x_image, offsets, k_at, images, steps
    ):
        whole = types.intp
        signature = types.void(
            dW, whole, whole, z, whole, whole, whole, x, whole, offsets, whole, whole, whole
        )

        def emit(context, builder, signature, args):
            _, dW_at, dW_row, _, z_at, z_row, z_image, _, x_image, _, k_at, images, steps = args
            kinds = signature.args
            e = Emitter(context, builder, kinds[0].dtype)
            dW, z, x, offsets = (e.data(kinds[i], args[i]) for i in (0, 3, 7, 9))
            sums = [e.sums(CELLS, e.zero) for _ in range(FILTERS)]
            starts = [e.element(offsets, e.plus(k_at, k)) for k in range(CELLS)]
            with cgutils.for_range(builder, images) as image:
                z_start = e.plus(z_at, e.times(image.index, z_image))
                z_rows = [e.plus(z_start, e.times(z_row, f)) for f in range(FILTERS)]
                x_start = e.times(image.index, x_image)
                x_rows = [e.plus(x_start, start) for start in starts]
                with cgutils.for_range(builder, steps) as step:
                    o = e.times(step.index, e.lanes)
                    upper = [e.load(z, e.plus(row, o)) for row in z_rows]
                    for k, row in enumerate(x_rows):
                        pixels = e.load(x, e.plus(row, o))
                        for f, gradient in enumerate(upper):
                            e.add_product(sums[f][k], gradient, pixels)
            for f, row in enumerate(sums):
                start = e.plus(dW_at, e.times(dW_row, f))
                for k, register in enumerate(row):
                    place = builder.gep(dW, [e.plus(start, k)])
                    total = e.across(builder.load(register))
                    builder.store(builder.fadd(builder.load(place), total), place)
            return context.get_dummy_value()

        return signature, emit

    return kernel


def outer(vectors: int) -> Any:
    """Return the kernel of ROWS rows of sums over an image, each ``vectors`` registers wide.

    ``dW[dW_at + i dW_row + j] += sum over p < rows, q < cols of
    x[x_at + offsets[k + i] + p stride + q] z[(p cols + q) dW_row + z_at + j]``
    """

    @intrinsic
    def kernel(_, dW, dW_at, dW_row, x, x_at, offsets, k, stride, z, z_at, rows, cols):
        i = types.intp
        signature = types.void(dW, i, i, x, i, offsets, i, i, z, i, i, i)

        def emit(context, builder, signature, args):
            _, dW_at, dW_row, _, x_at, _, k, stride, _, z_at, rows, cols = args
            kinds = signature.args
            e = Emitter(context, builder, kinds[0].dtype)
            dW, x, offsets, z = (e.data(kinds[n], args[n]) for n in (0, 3, 5, 8))
            starts = [e.plus(dW_at, e.times(dW_row, row)) for row in range(ROWS)]
            places = [[e.plus(start, v * e.lanes) for v in range(vectors)] for start in starts]
            sums = [[e.sums(1, e.load(dW, place))[0] for place in row] for row in places]
            cells = [e.plus(x_at, e.element(offsets, e.plus(k, row))) for row in range(ROWS)]
            with cgutils.for_range(builder, rows) as p:
                there = e.times(p.index, stride)
                x_rows = [e.plus(cell, there) for cell in cells]
                first = e.times(p.index, cols)
                with cgutils.for_range(builder, cols) as q:
                    at = e.plus(z_at, e.times(e.plus(first, q.index), dW_row))
                    seen = [e.load(z, e.plus(at, v * e.lanes)) for v in range(vectors)]
                    for start, row in zip(x_rows, sums, strict=True):
                        pixel = e.spread(e.element(x, e.plus(start, q.index)))
                        for register, vector in zip(row, seen, strict=True):
                            e.add_product(register, pixel, vector)
            for here, registers in zip(places, sums, strict=True):
                for place, register in zip(here, registers, strict=True):
                    e.store(builder.load(register), dW, place)
            return context.get_dummy_value()

        return signature, emit

    return kernel


@intrinsic
def copy(_, to, to_at, source, source_at, count):
    """Copy at most a vector of numbers; zeros fill up the vector.

    A store of part of a vector is many times slower: write rows in ascending order instead.
    """
    signature = types.void(to, types.intp, source, types.intp, types.intp)

    def emit(context, builder, signature, args):
        e = Emitter(context, builder, signature.args[0].dtype)
        to, source = e.data(signature.args[0], args[0]), e.data(signature.args[2], args[2])
        e.store(e.load_first(source, args[3], e.first(args[4])), to, args[1])
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def copy_where(_, to, to_at, source, sign, source_at, count):
    """Copy at most a vector of numbers where ``sign`` is above 0; zeros elsewhere."""
    signature = types.void(to, types.intp, source, sign, types.intp, types.intp)

    def emit(context, builder, signature, args):
        kinds = signature.args
        e = Emitter(context, builder, kinds[0].dtype)
        to, source, sign = (e.data(kinds[i], args[i]) for i in (0, 2, 3))
        mask = e.first(args[5])
        above = builder.fcmp_ordered(">", e.load_first(sign, args[4], mask), e.zero)
        copied = builder.select(above, e.load_first(source, args[4], mask), e.zero)
        e.store(copied, to, args[1])
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def pool_rows(_, y, winners, at, z, upper, lower):
    """Pool two rows from two places of z by windows of 2 x 2 into one vector of y at a place.

    In reading order the first of equal numbers wins; a NaN makes y NaN and never wins.
    """
    signature = types.void(y, winners, types.intp, z, types.intp, types.intp)

    def emit(context, builder, signature, args):
        y, winners, at, z, upper, lower = args
        kinds = signature.args
        e = Emitter(context, builder, kinds[0].dtype)
        y, winners, z = (e.data(kinds[i], args[i]) for i in (0, 1, 3))
        (best, *rivals) = (
            cell
            for row in (upper, lower)
            for cell in e.evens_and_odds(e.load(z, row), e.load(z, e.plus(row, e.lanes)))
        )
        first = e.integers([0] * e.lanes, 8)
        for number, rival in enumerate(rivals, 1):
            ahead = builder.fcmp_ordered(">", rival, best)
            first = builder.select(ahead, e.integers([number] * e.lanes, 8), first)
            taken = builder.or_(ahead, builder.fcmp_unordered("uno", rival, rival))
            best = builder.select(taken, rival, best)
        e.store(best, y, at)
        place = builder.bitcast(builder.gep(winners, [at]), first.type.as_pointer())
        builder.store(first, place, align=1)
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def unpool_row(_, z, z_at, dy, y, winners, at, count, cell):
    """Take at most a vector of dy, where y is above 0, back to one of the two rows it came from.

    ``cell`` is the row's first in a window of 2 x 2: 0 or 2; zeros fill up two vectors.
    """
    i = types.intp
    signature = types.void(z, i, dy, y, winners, i, i, i)

    def emit(context, builder, signature, args):
        _, z_at, _, _, _, at, count, cell = args
        kinds = signature.args
        e = Emitter(context, builder, kinds[0].dtype)
        z, dy, y, winners = (e.data(kinds[i], args[i]) for i in (0, 2, 3, 4))
        mask = e.first(count)
        above = builder.fcmp_ordered(">", e.load_first(y, at, mask), e.zero)
        gradient = builder.select(above, e.load_first(dy, at, mask), e.zero)
        byte = ir.VectorType(ir.IntType(8), e.lanes)
        place = builder.bitcast(builder.gep(winners, [at]), byte.as_pointer())
        won = builder.load(place, align=1)
        cells = []
        for column in range(2):
            number = e.spread(builder.trunc(e.plus(cell, column), ir.IntType(8)))
            cells.append(builder.select(builder.icmp_signed("==", won, number), gradient, e.zero))
        for half, vector in enumerate(e.zipped(*cells)):
            e.store(vector, z, e.plus(z_at, half * e.lanes))
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def transpose_block(_, to, to_at, to_row, a, a_at, a_row, rows, cols):
    """Write the transpose of at most a square of a vector's width, whole vectors of it.

    What lies past the given rows and columns comes out as anything and as zeros.
    """
    i = types.intp
    signature = types.void(to, i, i, a, i, i, i, i)

    def emit(context, builder, signature, args):
        _, to_at, to_row, _, a_at, a_row, rows, cols = args
        e = Emitter(context, builder, signature.args[0].dtype)
        to, a = e.data(signature.args[0], args[0]), e.data(signature.args[3], args[3])
        mask, last = e.first(cols), e.plus(rows, -1)
        square = []
        for row in range(e.lanes):
            there = builder.icmp_signed("<", ir.Constant(rows.type, row), rows)
            number = builder.select(there, ir.Constant(rows.type, row), last)
            square.append(e.load_first(a, e.plus(a_at, builder.mul(number, a_row)), mask))
        half = e.lanes // 2
        for _ in range(half.bit_length()):  # each round zips row i with row i + half
            pairs = [e.zipped(square[k], square[k + half]) for k in range(half)]
            square = [vector for pair in pairs for vector in pair]
        for row, vector in enumerate(square):
            e.store(vector, to, e.plus(to_at, e.times(to_row, row)))
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def high_product(_, a, b):
    """Return the upper 64 bits of the product of two uint64."""
    signature = types.uint64(types.uint64, types.uint64)

    def emit(context, builder, signature, args):
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(arg, wide) for arg in args))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return signature, emit
