"""Kernels in vector registers for the compiled loops of :mod:`xpnet.ops.numba`.

A compiler does not keep a whole tile of a matrix product in registers by itself; these kernels
write the instructions down: loads, products that are added to sums, shuffles.  Each is a function
that compiled loops call with flat arrays and places in them; no place is checked.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator
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
    "WIDTH",
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
DEPTH = 256
"""Rows of a second matrix that are copied together: PANEL registers by DEPTH fit the first cache
..."""
WIDTH = 256
"""... and as many columns the second."""


class Emitter:
    """Writes the instructions of a kernel that works on vectors of one dtype."""

    def __init__(self, context: Any, builder: Any, dtype: Any) -> None:
        self.context, self.builder = context, builder
        self.number = context.get_value_type(dtype)
        self.lanes = VECTOR_BYTES * 8 // dtype.bitwidth
        self.vector = ir.VectorType(self.number, self.lanes)
        self.zero = ir.Constant(self.vector, [0.0] * self.lanes)
        self._mangled = f"v{self.lanes}f{dtype.bitwidth}"
        self._align = dtype.bitwidth // 8

    # Whole numbers and control

    def plus(self, a: Any, b: Any) -> Any:
        return self.builder.add(a, ir.Constant(a.type, b) if isinstance(b, int) else b)

    def times(self, a: Any, b: Any) -> Any:
        return self.builder.mul(a, ir.Constant(a.type, b) if isinstance(b, int) else b)

    def smaller(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    @contextlib.contextmanager
    def count(self, limit: Any) -> Iterator[Any]:
        """Repeat what is written within for 0, 1 ... up to a limit."""
        with cgutils.for_range(self.builder, limit) as loop:
            yield loop.index

    def either(self, value: Any, choices: Iterable[int]) -> Iterator[int]:
        """Yield each choice, to write what is done where a value equals it."""
        for choice in choices:
            equal = self.builder.icmp_signed("==", value, ir.Constant(value.type, choice))
            with self.builder.if_then(equal):
                yield choice

    def differs(self, a: Any, b: int) -> Any:
        """Return 1 where a number is another, else 0."""
        other = self.builder.icmp_signed("!=", a, ir.Constant(a.type, b))
        return self.builder.zext(other, a.type)

    def integers(self, values: list[int], bits: int) -> Any:
        return ir.Constant(ir.VectorType(ir.IntType(bits), self.lanes), values)

    # Memory

    def data(self, kind: Any, array: Any) -> Any:
        """Return the address of an array's first number."""
        return self.context.make_array(kind)(self.context, self.builder, array).data

    def place(self, base: Any, index: Any) -> Any:
        """Return the address of a number."""
        return self.builder.gep(base, [index])

    def element(self, base: Any, index: Any) -> Any:
        return self.builder.load(self.builder.gep(base, [index]))

    def add_to(self, base: Any, index: Any, number: Any) -> None:
        place = self.builder.gep(base, [index])
        self.builder.store(self.builder.fadd(self.builder.load(place), number), place)

    def _address(self, base: Any, index: Any, vector: Any = None) -> Any:
        place = self.builder.gep(base, [index])
        return self.builder.bitcast(place, (vector or self.vector).as_pointer())

    def load(self, base: Any, index: Any) -> Any:
        return self.builder.load(self._address(base, index), align=self._align)

    def store(self, vector: Any, base: Any, index: Any) -> None:
        self.builder.store(vector, self._address(base, index), align=self._align)

    def load_bytes(self, base: Any, index: Any) -> Any:
        byte = ir.VectorType(ir.IntType(8), self.lanes)
        return self.builder.load(self._address(base, index, byte), align=1)

    def store_bytes(self, vector: Any, base: Any, index: Any) -> None:
        self.builder.store(vector, self._address(base, index, vector.type), align=1)

    def first(self, count: Any) -> Any:
        """Return a mask of the first numbers of a vector."""
        count = self.smaller(count, ir.Constant(count.type, self.lanes))
        limit = self.broadcast(self.builder.trunc(count, ir.IntType(8)))
        return self.builder.icmp_signed("<", self.integers(list(range(self.lanes)), 8), limit)

    def load_first(self, base: Any, index: Any, mask: Any) -> Any:
        """Return the numbers of a mask, zeros in the other places; reads nothing else."""
        place, align = self._address(base, index), ir.Constant(ir.IntType(32), self._align)
        name = f"llvm.masked.load.{self._mangled}.p0"
        return self._call(name, self.vector, place, align, mask, self.zero)

    def store_first(self, vector: Any, base: Any, index: Any, mask: Any) -> None:
        """Write the numbers of a mask and nothing else; many times slower than a whole store."""
        place, align = self._address(base, index), ir.Constant(ir.IntType(32), self._align)
        self._call(
            f"llvm.masked.store.{self._mangled}.p0", ir.VoidType(), vector, place, align, mask
        )

    # Vectors

    def _call(self, name: str, result: Any, *args: Any, **options: Any) -> Any:
        kind = ir.FunctionType(result, [arg.type for arg in args])
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, args, **options)

    def broadcast(self, number: Any) -> Any:
        """Return a vector of copies of one number."""
        undefined = ir.Constant(ir.VectorType(number.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
        return self._shuffled(first, undefined, [0] * self.lanes)

    def evens_and_odds(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Return every other number of two vectors one after the other, from 0 and from 1."""
        evens, odds = (list(range(start, 2 * self.lanes, 2)) for start in (0, 1))
        return self._shuffled(a, b, evens), self._shuffled(a, b, odds)

    def zipped(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Return a[0], b[0], a[1], b[1] ... as two vectors."""
        order = [v for i in range(self.lanes) for v in (i, self.lanes + i)]
        halves = order[: self.lanes], order[self.lanes :]
        return self._shuffled(a, b, halves[0]), self._shuffled(a, b, halves[1])

    def _shuffled(self, a: Any, b: Any, order: list[int]) -> Any:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
        return self.builder.shuffle_vector(a, b, mask)

    def sum_from(self, vector: Any) -> Any:
        """Return a register for a sum that begins with a vector."""
        register = cgutils.alloca_once(self.builder, self.vector)
        self.builder.store(vector, register)
        return register

    def total(self, register: Any) -> Any:
        return self.builder.load(register)

    def add_products(self, registers: list[Any], factor: Any, vectors: list[Any]) -> None:
        """Add a factor times each vector to the register of its place."""
        for register, vector in zip(registers, vectors, strict=True):
            before = self.builder.load(register)
            after = self._call(f"llvm.fma.{self._mangled}", self.vector, factor, vector, before)
            self.builder.store(after, register)

    def across(self, vector: Any) -> Any:
        """Return the sum of a vector's numbers."""
        name, zero = f"llvm.vector.reduce.fadd.{self._mangled}", ir.Constant(self.number, 0.0)
        return self._call(name, self.number, zero, vector, fastmath=("reassoc",))

    def at_least(self, floor: Any, vector: Any) -> Any:
        """Return the larger of each two numbers; a NaN stays."""
        below = self.builder.fcmp_ordered("<", vector, floor)
        return self.builder.select(below, floor, vector)

    def where_above(self, base: Any, sign: Any, index: Any, mask: Any) -> Any:
        """Return the numbers of a mask whose sign is above 0, zeros in the other places."""
        above = self.builder.fcmp_ordered(">", self.load_first(sign, index, mask), self.zero)
        return self.builder.select(above, self.load_first(base, index, mask), self.zero)


def kernel(write: Callable[..., None]) -> Any:
    """Make a function that compiled loops can call of one that writes its instructions.

    ``write`` gets an Emitter for the dtype of the first array, then the call's arguments: of an
    array the address of its first number.
    """

    def define(_: Any, *kinds: Any) -> Any:
        whole = [types.intp if isinstance(kind, types.Integer) else kind for kind in kinds]

        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            arrays = [isinstance(kind, types.Array) for kind in signature.args]
            e = Emitter(context, builder, signature.args[arrays.index(True)].dtype)
            given = zip(arrays, signature.args, args, strict=True)
            write(e, *(e.data(kind, arg) if array else arg for array, kind, arg in given))
            return context.get_dummy_value()

        return types.void(*whole), emit

    define.__name__, define.__doc__ = write.__name__, write.__doc__
    define.__signature__ = inspect.signature(write)  # type: ignore[attr-defined]
    return intrinsic(define)


@kernel
def products(e, vectors, z, z_at, z_row, W, W_at, b, b_at, least, x, x_at, offsets, cells):
    """Fill FILTERS rows of z, each as wide as some vectors.

    ``z[z_at + f z_row + v] = max(least, b[b_at + f] + sum over k < cells of
    W[W_at + k FILTERS + f] x[x_at + offsets[k] + v])``
    """
    biases = [e.broadcast(e.element(b, e.plus(b_at, f))) for f in range(FILTERS)]
    floor = e.broadcast(least)
    for width in e.either(vectors, VECTORS):
        sums = [[e.sum_from(bias) for _ in range(width)] for bias in biases]
        with e.count(cells) as k:
            at = e.plus(x_at, e.element(offsets, k))
            seen = [e.load(x, e.plus(at, v * e.lanes)) for v in range(width)]
            weights = e.plus(W_at, e.times(k, FILTERS))
            for f, row in enumerate(sums):
                e.add_products(row, e.broadcast(e.element(W, e.plus(weights, f))), seen)
        for f, row in enumerate(sums):
            start = e.plus(z_at, e.times(z_row, f))
            for v, register in enumerate(row):
                e.store(e.at_least(floor, e.total(register)), z, e.plus(start, v * e.lanes))


@kernel
def panel(
    e, vectors, y, y_at, y_row, c, c_at, c_row, a, a_at, a_row, a_step, B, B_at, B_row, depth,
    tail, least,
):  # fmt: skip
    """Fill ROWS rows of a matrix product, each as wide as some vectors.

    ``y[y_at + i y_row + j] = max(least, c[c_at + i c_row + j] + sum over k < depth of
    a[a_at + i a_row + k a_step] B[B_at + k B_row + j])``, where a_row or a_step is 1; of the last
    vector only the first ``tail`` numbers of c and y are read and written, but all of B.
    """
    mask, floor = e.first(tail), e.broadcast(least)
    for width in e.either(vectors, range(1, PANEL + 1)):
        whole, last = [v * e.lanes for v in range(width - 1)], (width - 1) * e.lanes
        sums = []
        for i in range(ROWS):
            start = e.plus(c_at, e.times(c_row, i))
            before = [e.load(c, e.plus(start, v)) for v in whole]
            before.append(e.load_first(c, e.plus(start, last), mask))
            sums.append([e.sum_from(vector) for vector in before])
        # what a compiler does not know to be 1 it adds up, address by address
        for down in e.either(e.differs(a_step, 1), (0, 1)):
            rows = [e.place(a, e.plus(a_at, i if down else e.times(a_row, i))) for i in range(ROWS)]
            with e.count(depth) as k:
                start = e.plus(B_at, e.times(k, B_row))
                seen = [e.load(B, e.plus(start, v * e.lanes)) for v in range(width)]
                step = e.times(k, a_step) if down else k
                for row, registers in zip(rows, sums, strict=True):
                    e.add_products(registers, e.broadcast(e.element(row, step)), seen)
        for i, row in enumerate(sums):
            start = e.plus(y_at, e.times(y_row, i))
            totals = [e.at_least(floor, e.total(register)) for register in row]
            for v, total in zip(whole, totals[:-1], strict=True):
                e.store(total, y, e.plus(start, v))
            for cut in e.either(e.differs(tail, e.lanes), (0, 1)):
                if cut:
                    e.store_first(totals[-1], y, e.plus(start, last), mask)
                else:
                    e.store(totals[-1], y, e.plus(start, last))


@kernel
def dots(e, dW, dW_at, dW_row, z, z_at, z_row, z_image, x, x_image, offsets, k_at, images, steps):
    """Add FILTERS times CELLS dot products over the images of a block.

    ``dW[dW_at + f dW_row + k] += sum over images s and o < steps lanes of
    z[z_at + s z_image + f z_row + o] x[s x_image + offsets[k_at + k] + o]``
    """
    sums = [[e.sum_from(e.zero) for _ in range(CELLS)] for _ in range(FILTERS)]
    starts = [e.element(offsets, e.plus(k_at, k)) for k in range(CELLS)]
    with e.count(images) as s:
        z_start, x_start = e.plus(z_at, e.times(s, z_image)), e.times(s, x_image)
        z_rows = [e.plus(z_start, e.times(z_row, f)) for f in range(FILTERS)]
        x_rows = [e.plus(x_start, start) for start in starts]
        with e.count(steps) as step:
            o = e.times(step, e.lanes)
            upper = [e.load(z, e.plus(row, o)) for row in z_rows]
            for k, row in enumerate(x_rows):
                pixels = e.load(x, e.plus(row, o))
                for f, gradient in enumerate(upper):
                    e.add_products([sums[f][k]], gradient, [pixels])
    for f, row in enumerate(sums):
        start = e.plus(dW_at, e.times(dW_row, f))
        for k, register in enumerate(row):
            e.add_to(dW, e.plus(start, k), e.across(e.total(register)))


@kernel
def outer(e, vectors, dW, dW_at, dW_row, x, x_at, offsets, k, stride, z, z_at, rows, cols):
    """Add ROWS rows of sums over an image, each as wide as some vectors.

    ``dW[dW_at + i dW_row + j] += sum over p < rows, q < cols of
    x[x_at + offsets[k + i] + p stride + q] z[(p cols + q) dW_row + z_at + j]``
    """
    starts = [e.plus(dW_at, e.times(dW_row, i)) for i in range(ROWS)]
    cells = [e.plus(x_at, e.element(offsets, e.plus(k, i))) for i in range(ROWS)]
    for width in e.either(vectors, range(1, PANEL + 1)):
        places = [[e.plus(start, v * e.lanes) for v in range(width)] for start in starts]
        sums = [[e.sum_from(e.load(dW, place)) for place in row] for row in places]
        with e.count(rows) as p:
            x_rows = [e.plus(cell, e.times(p, stride)) for cell in cells]
            first = e.times(p, cols)
            with e.count(cols) as q:
                at = e.plus(z_at, e.times(e.plus(first, q), dW_row))
                seen = [e.load(z, e.plus(at, v * e.lanes)) for v in range(width)]
                for start, row in zip(x_rows, sums, strict=True):
                    e.add_products(row, e.broadcast(e.element(x, e.plus(start, q))), seen)
        for there, row in zip(places, sums, strict=True):
            for place, register in zip(there, row, strict=True):
                e.store(e.total(register), dW, place)


@kernel
def copy(e, to, to_at, source, source_at, count):
    """Copy at most a vector of numbers; zeros fill up the vector.

    A store of part of a vector is many times slower: write rows in ascending order instead.
    """
    e.store(e.load_first(source, source_at, e.first(count)), to, to_at)


@kernel
def copy_where(e, to, to_at, source, sign, source_at, count):
    """Copy at most a vector of numbers where ``sign`` is above 0; zeros elsewhere."""
    e.store(e.where_above(source, sign, source_at, e.first(count)), to, to_at)


@kernel
def pool_rows(e, y, winners, at, z, upper, lower):
    """Pool two rows from two places of z by windows of 2 x 2 into one vector of y at a place.

    In reading order the first of equal numbers wins; a NaN makes y NaN and never wins.
    """
    build = e.builder
    best, *rivals = (
        cell
        for row in (upper, lower)
        for cell in e.evens_and_odds(e.load(z, row), e.load(z, e.plus(row, e.lanes)))
    )
    first = e.integers([0] * e.lanes, 8)
    for number, rival in enumerate(rivals, 1):
        ahead = build.fcmp_ordered(">", rival, best)
        first = build.select(ahead, e.integers([number] * e.lanes, 8), first)
        taken = build.or_(ahead, build.fcmp_unordered("uno", rival, rival))
        best = build.select(taken, rival, best)
    e.store(best, y, at)
    e.store_bytes(first, winners, at)


@kernel
def unpool_row(e, z, z_at, dy, y, winners, at, count, cell):
    """Take at most a vector of dy, where y is above 0, back to one of the two rows it came from.

    ``cell`` is the row's first in a window of 2 x 2: 0 or 2; zeros fill up two vectors.
    """
    build = e.builder
    gradient = e.where_above(dy, y, at, e.first(count))
    won, cells = e.load_bytes(winners, at), []
    for column in range(2):
        number = e.broadcast(build.trunc(e.plus(cell, column), ir.IntType(8)))
        cells.append(build.select(build.icmp_signed("==", won, number), gradient, e.zero))
    for half, vector in enumerate(e.zipped(*cells)):
        e.store(vector, z, e.plus(z_at, half * e.lanes))


@kernel
def transpose_block(e, to, to_at, to_row, a, a_at, a_row, rows, cols):
    """Write the transpose of at most a square of a vector's width, whole vectors of it.

    What lies past the given rows and columns comes out as anything and as zeros.
    """
    mask, last, square = e.first(cols), e.plus(rows, -1), []
    for row in range(e.lanes):
        number = e.smaller(ir.Constant(rows.type, row), last)
        square.append(e.load_first(a, e.plus(a_at, e.times(number, a_row)), mask))
    half = e.lanes // 2
    for _ in range(half.bit_length()):  # each round zips row i with row i + half
        pairs = [e.zipped(square[k], square[k + half]) for k in range(half)]
        square = [vector for pair in pairs for vector in pair]
    for row, vector in enumerate(square):
        e.store(vector, to, e.plus(to_at, e.times(to_row, row)))


@intrinsic
def high_product(_, a, b):
    """Return the upper 64 bits of the product of two uint64."""
    signature = types.uint64(types.uint64, types.uint64)

    def emit(context, builder, signature, args):
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(arg, wide) for arg in args))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return signature, emit
