"""An interpreter of NVIDIA's machine code, as nvdisasm prints it, that counts what warps issue.

It knows the instructions that xpnet's kernels over images are compiled to for sm_90 (no shared
memory, no barriers of a block) and raises at any other.  The 32 threads of a warp run as on the
processor: those that are at the same instruction are issued it together, and where they part, one
side waits at the BSYNC of their BSSY for the other.  What a warp is issued counts once, however
many of its threads take part, since it takes the same time.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Code", "Memory", "SassError", "functions", "run_block"]

LANES = 32
PARAMETERS = 0x210
"""Where in constant bank 0 a kernel of sm_90 finds its arguments."""

Lanes = np.ndarray[Any, Any]
"""A number for each thread of a warp, or one for all."""

Grid = tuple[int, int, int]

_LOW = np.uint64(2**32 - 1)
_LINE = re.compile(r"\s*/\*([0-9a-f]+)\*/\s+(?:@(!?U?P[0-9T]) +)?([A-Z][\w.]*)\s*(.*?)\s*;")
_LABEL = re.compile(r"(\.L_x_\d+|\$\w+):")
_SECTION = re.compile(r"\s*\.section\s+\.text\.(\w+),")
_PREDICATE = re.compile(r"!?U?P[0-9T]$")
_REGISTER = re.compile(r"([-~]?)(\|?)(U?R)(\d+|Z)(?:\.reuse|\.64|\|)*$")
_CONSTANT = re.compile(r"(-?)c\[0x0\]\[(?:RZ|URZ|(0x[0-9a-f]+))\]$")
_ADDRESS = re.compile(r"desc\[UR\d+\]\[(?:(R\w+)\.64)(?:\+(-?0x[0-9a-f]+))?\]$")


class SassError(ValueError):
    """Machine code that is not understood, or that reaches for memory it was not given."""


@dataclass(frozen=True)
class Instruction:
    """One line: ``@guard name.modifiers operands``."""

    guard: str
    name: str
    modifiers: tuple[str, ...]
    operands: tuple[str, ...]


@dataclass
class Code:
    """A kernel: instructions by address, and the addresses of its labels."""

    name: str
    instructions: dict[int, Instruction] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)


def functions(listing: str) -> dict[str, Code]:
    """Return the kernels in what ``nvdisasm -c`` printed, by name."""
    found: dict[str, Code] = {}
    code, waiting = Code(""), list[str]()
    for line in listing.splitlines():
        if section := _SECTION.match(line):
            code, waiting = Code(section[1]), []
            found[code.name] = code
        elif label := _LABEL.match(line):
            waiting.append(label[1])
        elif match := _LINE.match(line):
            address, guard, opcode, text = match.groups()
            name, *modifiers = opcode.split(".")
            operands = tuple(re.split(r"\s*,\s*", text)) if text else ()
            made = Instruction(guard or "PT", name, tuple(modifiers), operands)
            code.instructions[int(address, 16)] = made
            code.labels.update(dict.fromkeys(waiting, int(address, 16)))
            waiting = []
    return found


class Memory:
    """The global memory that a kernel may touch: arrays of bytes, by the address they start at."""

    def __init__(self, arrays: dict[int, Lanes]) -> None:
        self.arrays = arrays
        self.written = {start: np.zeros(len(raw), bool) for start, raw in arrays.items()}

    def _place(self, addresses: Lanes, size: int) -> tuple[int, Lanes]:
        first = int(addresses[0])
        for start, raw in self.arrays.items():
            if start <= first < start + len(raw):
                at = addresses.astype(np.int64) - start
                if at.min() < 0 or at.max() + size > len(raw):
                    break
                if (addresses % np.uint64(size)).any():
                    raise SassError(f"{size} bytes at an address that is no multiple of {size}")
                return start, at[:, None] + np.arange(size)
        raise SassError(f"no array holds all of the {size} bytes at {first:#x} and its neighbours")

    def load(self, addresses: Lanes, size: int) -> Lanes:
        """Return so many bytes from each address, as (addresses, size)."""
        start, at = self._place(addresses, size)
        return self.arrays[start][at]

    def store(self, addresses: Lanes, data: Lanes) -> None:
        """Write (addresses, size) bytes, and remember that they were written."""
        start, at = self._place(addresses, data.shape[1])
        self.arrays[start][at] = data
        self.written[start][at] = True


def run_block(
    code: Code, memory: Memory, arguments: Sequence[bytes], place: Grid, block: int, grid: Grid
) -> int:  # fmt: skip
    """Run one block of a kernel, warp by warp.

    Parameters
    ----------
    arguments : sequence of bytes
        Eight bytes each.
    place : (x, y, z)
        Of the block in the grid.
    block : int
        Threads.
    grid : (x, y, z)
        Blocks.

    Returns
    -------
    int
        The instructions that its warps were issued.
    """
    constants = np.zeros(PARAMETERS // 4, "<u4")
    constants[:6] = block, 1, 1, *grid
    constants = np.concatenate([constants, np.frombuffer(b"".join(arguments), "<u4")])
    warps = range(0, block, LANES)
    return sum(_Warp(code, memory, constants, place, first).run() for first in warps)


class _Warp:
    """32 threads: their registers and predicates, and where each of them is."""

    def __init__(
        self, code: Code, memory: Memory, constants: Lanes, place: Grid, first: int
    ) -> None:
        self.code, self.memory, self.constants = code, memory, constants
        self.files = {"R": np.zeros((256, LANES), np.uint64), "UR": np.zeros((64, 1), np.uint64)}
        self.flags = {"P": np.zeros((8, LANES), bool), "UP": np.zeros((8, 1), bool)}
        self.flags["P"][7] = self.flags["UP"][7] = True
        self.special: dict[str, Lanes] = {
            "SR_TID.X": np.arange(first, first + LANES, dtype=np.uint64),
            "SRZ": np.zeros(1, np.uint64),
        }
        for axis, number in zip("XYZ", place, strict=True):
            self.special[f"SR_CTAID.{axis}"] = np.array([number], np.uint64)
        self.at = np.zeros(LANES, np.int64)
        self.alive = np.ones(LANES, bool)
        self.active = self.alive
        self.joining: dict[str, tuple[Lanes, int]] = {}  # whom a barrier is for, and where to go on
        self.waits_at = np.full(LANES, "", "U4")

    def run(self) -> int:
        """Run to the end of all threads; return the instructions issued."""
        issued = 0
        while self.alive.any():
            ready = self.alive & (self.waits_at == "")
            if not ready.any():
                raise SassError(f"{self.code.name}: the threads of a warp wait for each other")
            at = int(self.at[ready].min())
            here = ready & (self.at == at)
            instruction = self.code.instructions.get(at)
            if instruction is None:
                raise SassError(f"{self.code.name}: no instruction at {at:#x}")
            body = _BODIES.get(instruction.name)
            if body is None:
                raise SassError(f"{self.code.name}: {instruction.name} is not known")
            self.at[here] = at + 16
            self.active = here & self.flag(instruction.guard)
            issued += 1
            if self.active.any():
                with np.errstate(all="ignore"):
                    body(self, instruction)
        return issued

    # Operands

    def flag(self, text: str) -> Lanes:
        """Return a predicate."""
        kind, number = text.lstrip("!")[:-1], text[-1]
        value = self.flags[kind][7 if number == "T" else int(number)]
        result: Lanes = ~value if text[0] == "!" else value
        return result

    def set_flag(self, text: str, value: Lanes) -> None:
        if text[-1] != "T":
            self._write(self.flags[text[:-1]][int(text[-1])], value)

    def bits(self, text: str, wide: bool = False, *, invert: bool = False) -> Lanes:
        """Return a whole number of 32 or 64 bits; a minus makes ``2^32 - it``, or inverts."""
        if match := _REGISTER.match(text):
            sign, _, kind, number = match.groups()
            if number == "Z":
                value = np.zeros(1, np.uint64)
            else:
                value = self.files[kind][int(number)]
                if wide:
                    value = value | self.files[kind][int(number) + 1] << np.uint64(32)
        elif match := _CONSTANT.match(text):
            sign, at = match[1], int(match[2] or "0", 16) // 4
            value = np.asarray(self.constants[at : at + 1], np.uint64)
            if wide:
                value = value | np.asarray(self.constants[at + 1], np.uint64) << np.uint64(32)
        else:
            sign, value = "", np.array([int(text, 0) % 2**32], np.uint64)
        if sign == "~" or (sign and invert):
            return value ^ _LOW
        return np.uint64(2**32) - value if sign else value

    def low(self, text: str) -> Lanes:
        return self.bits(text) & _LOW

    def signed(self, text: str) -> Lanes:
        return self.low(text).astype(np.uint32).view(np.int32).astype(np.int64)

    def real(self, text: str, double: bool = False) -> Lanes:
        """Return a floating-point number."""
        kind = np.float64 if double else np.float32
        register = _REGISTER.match(text)
        if register is None:
            return np.array([float(text.replace("QNAN", "nan"))], kind)
        value = (
            self.bits(register[3] + register[4], double)
            .astype(np.uint64 if double else np.uint32)
            .view(kind)
        )
        value = np.abs(value) if register[2] else value
        return np.negative(value) if register[1] else value

    def write(self, text: str, value: Lanes, words: int = 1) -> None:
        """Write a register, or the neighbouring ones that make a wider number."""
        kind, number = ("UR", text[2:]) if text[0] == "U" else ("R", text[1:])
        if number == "Z":
            return
        for word in range(words):
            part = value >> np.uint64(32 * word) & _LOW
            self._write(self.files[kind][int(number) + word], part)

    def write_real(self, text: str, value: Lanes, double: bool = False) -> None:
        if double:
            self.write(text, np.asarray(value, np.float64).view(np.uint64), 2)
        else:
            self.write(text, np.asarray(value, np.float32).view(np.uint32).astype(np.uint64))

    def _write(self, place: Lanes, value: Lanes) -> None:
        if len(place) == 1:
            place[:] = np.ravel(value)[0]
        else:
            np.copyto(place, value, where=self.active)

    def address(self, text: str) -> Lanes:
        match = _ADDRESS.match(text)
        if match is None:
            raise SassError(f"{self.code.name}: the address {text} is not known")
        base = np.broadcast_to(self.bits(match[1], wide=True), LANES)[self.active]
        return base + np.uint64(int(match[2] or "0", 16) % 2**64)

    def release(self) -> None:
        """Let those go on who wait at a barrier for which all are there that are left."""
        for barrier, (threads, target) in self.joining.items():
            left = threads & self.alive
            if left.any() and (self.waits_at[left] == barrier).all():
                self.waits_at[left] = ""
                self.at[left] = target


Body = Callable[[_Warp, Instruction], None]
_BODIES: dict[str, Body] = {}


def _body(*names: str) -> Callable[[Body], Body]:
    def add(body: Body) -> Body:
        _BODIES.update(dict.fromkeys(names, body))
        return body

    return add


def _known(i: Instruction, *modifiers: str) -> None:
    """Raise unless an instruction has no other modifiers than these."""
    if unknown := set(i.modifiers) - set(modifiers):
        raise SassError(f"{i.name}.{'.'.join(i.modifiers)}: .{min(unknown)} is not known")


# Which instruction comes next ------------------------------------------------------------------


def _target(w: _Warp, text: str) -> int:
    return w.code.labels[text.strip("`()")]


@_body("NOP")
def _nop(w: _Warp, i: Instruction) -> None:
    pass


@_body("EXIT")
def _exit(w: _Warp, i: Instruction) -> None:
    w.alive = w.alive & ~w.active
    w.release()


@_body("BRA", "CALL")
def _branch(w: _Warp, i: Instruction) -> None:
    _known(i, "REL", "NOINC")
    *condition, target = i.operands
    taken = w.active
    for predicate in condition:
        taken = taken & w.flag(predicate)
    w.at[taken] = _target(w, target)


@_body("RET")
def _return(w: _Warp, i: Instruction) -> None:
    _known(i, "REL", "NODEC")
    w.at[w.active] = w.low(i.operands[0].split()[0])[w.active].astype(np.int64)


@_body("BSSY")
def _join_later(w: _Warp, i: Instruction) -> None:
    w.joining[i.operands[0]] = w.active.copy(), _target(w, i.operands[1])


@_body("BSYNC")
def _join(w: _Warp, i: Instruction) -> None:
    w.waits_at[w.active] = i.operands[0]
    w.release()


# Moves -----------------------------------------------------------------------------------------


@_body("MOV", "UMOV")
def _mov(w: _Warp, i: Instruction) -> None:
    w.write(i.operands[0], w.low(i.operands[1]))


@_body("S2R", "S2UR", "CS2R")
def _special(w: _Warp, i: Instruction) -> None:
    if i.operands[1] not in w.special:
        raise SassError(f"the special register {i.operands[1]} is not known")
    wide = i.name == "CS2R" and "32" not in i.modifiers
    w.write(i.operands[0], w.special[i.operands[1]], 2 if wide else 1)


@_body("LDC", "ULDC")
def _constant(w: _Warp, i: Instruction) -> None:
    _known(i, "64")
    wide = "64" in i.modifiers
    w.write(i.operands[0], w.bits(i.operands[1], wide), 2 if wide else 1)


@_body("R2UR")
def _uniform(w: _Warp, i: Instruction) -> None:
    w.write(i.operands[0], w.low(i.operands[1])[w.active][:1])


@_body("SEL", "USEL")
def _select(w: _Warp, i: Instruction) -> None:
    to, a, b, predicate = i.operands
    w.write(to, np.where(w.flag(predicate), w.low(a), w.low(b)))


@_body("FSEL")
def _select_real(w: _Warp, i: Instruction) -> None:
    to, a, b, predicate = i.operands
    w.write_real(to, np.where(w.flag(predicate), w.real(a), w.real(b)))


@_body("PRMT", "UPRMT")
def _permute(w: _Warp, i: Instruction) -> None:
    _known(i)
    to, a, chosen, b = i.operands
    both, which = w.low(a) | w.low(b) << np.uint64(32), int(chosen, 0)
    value = np.zeros(1, np.uint64)
    for byte in range(4):
        source = which >> 4 * byte & 15
        if source > 7:
            raise SassError("PRMT that copies signs is not known")
        value = value | (both >> np.uint64(8 * source) & np.uint64(255)) << np.uint64(8 * byte)
    w.write(to, value)


@_body("P2R")
def _flags_to_register(w: _Warp, i: Instruction) -> None:
    to, _, a, mask = i.operands
    packed = sum(w.flags["P"][n].astype(np.uint64) << np.uint64(n) for n in range(7))
    kept = w.low(mask)
    w.write(to, packed & kept | w.low(a) & ~kept)


@_body("R2P")
def _register_to_flags(w: _Warp, i: Instruction) -> None:
    _, a, mask = i.operands
    for n in range(7):
        if int(mask, 0) >> n & 1:
            w.set_flag(f"P{n}", (w.low(a) >> np.uint64(n) & np.uint64(1)).astype(bool))


@_body("VOTE", "VOTEU")
def _vote(w: _Warp, i: Instruction) -> None:
    _known(i, "ANY", "ALL")
    to, predicate = i.operands[-2:]
    held = np.broadcast_to(w.flag(predicate), LANES)[w.active]
    w.set_flag(to, np.array([held.any() if "ANY" in i.modifiers else held.all()]))


_SIZES = {"U8": 1, "U16": 2, "64": 8, "128": 16}


def _size(i: Instruction) -> int:
    _known(i, "E", "CONSTANT", *_SIZES)
    return next((_SIZES[m] for m in i.modifiers if m in _SIZES), 4)


@_body("LDG")
def _load(w: _Warp, i: Instruction) -> None:
    to, address = i.operands
    size = _size(i)
    raw = np.zeros((LANES, max(size, 4)), np.uint8)
    raw[w.active, :size] = w.memory.load(w.address(address), size)
    words = raw.view("<u4").astype(np.uint64)
    for word in range(words.shape[1]):
        w.write(f"R{int(to[1:]) + word}", words[:, word])


@_body("STG")
def _store(w: _Warp, i: Instruction) -> None:
    address, value = i.operands
    size = _size(i)
    words = np.zeros((LANES, max(size // 4, 1)), "<u4")
    if value != "RZ":
        number = int(value.removesuffix(".reuse")[1:])
        for word in range(words.shape[1]):
            words[:, word] = w.files["R"][number + word]
    w.memory.store(w.address(address), words.view(np.uint8)[w.active, :size])


# Whole numbers ---------------------------------------------------------------------------------


def _apart(operands: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the operands after the first that are numbers, and those that are predicates."""
    flags = [text for text in operands[1:] if _PREDICATE.match(text)]
    return [text for text in operands[1:] if not _PREDICATE.match(text)], flags


@_body("IADD3", "UIADD3", "VIADD")
def _add(w: _Warp, i: Instruction) -> None:
    _known(i, "X")
    numbers, flags = _apart(i.operands)
    carried = "X" in i.modifiers
    total = np.zeros(1, np.uint64)
    for text in numbers:
        total = total + w.bits(text, invert=carried)
    if carried:  # predicates before the numbers get carries, those behind give them
        behind = len(i.operands) - 1 - i.operands.index(numbers[-1], 1)
        for text in flags[len(flags) - behind :]:
            total = total + w.flag(text)
        flags = flags[: len(flags) - behind]
    w.write(i.operands[0], total)
    for count, flag in enumerate(flags):
        w.set_flag(flag, total >> np.uint64(32) > count)


@_body("IMAD", "UIMAD")
def _multiply(w: _Warp, i: Instruction) -> None:
    _known(i, "MOV", "U32", "IADD", "SHL", "X", "HI", "WIDE")
    (a, b, c), flags = _apart(i.operands)
    wide, high = "WIDE" in i.modifiers, "HI" in i.modifiers
    if wide and "U32" not in i.modifiers:
        product = (w.signed(a) * w.signed(b)).view(np.uint64)
    else:
        product = w.low(a) * w.low(b)
    if high and "U32" not in i.modifiers:
        raise SassError("IMAD.HI of signed numbers is not known")
    total = product + w.bits(c, wide or high, invert="X" in i.modifiers)
    if flags and "X" in i.modifiers:
        total = total + w.flag(flags[-1])
    elif flags:
        raise SassError("IMAD that carries is not known")
    w.write(i.operands[0], total >> np.uint64(32) if high else total, 2 if wide else 1)


@_body("LEA", "ULEA")
def _scaled(w: _Warp, i: Instruction) -> None:
    _known(i, "HI", "X", "SX32")
    numbers, flags = _apart(i.operands)
    if "HI" in i.modifiers:
        if "SX32" in i.modifiers:
            a, b, shift = numbers
            whole = w.signed(a).view(np.uint64)
        else:
            a, b, c, shift = numbers
            whole = w.low(a) | w.low(c) << np.uint64(32)
        total = ((whole << np.uint64(int(shift, 0))) >> np.uint64(32)) + w.bits(b)
        if "X" in i.modifiers:
            total = total + w.flag(flags.pop())
    else:
        a, b, shift = numbers
        total = (w.low(a) << np.uint64(int(shift, 0)) & _LOW) + w.bits(b)
    w.write(i.operands[0], total)
    if flags:
        w.set_flag(flags[0], total >> np.uint64(32) != 0)


@_body("SHF", "USHF")
def _shift(w: _Warp, i: Instruction) -> None:
    to, low, by, high = i.operands
    both = w.low(low) | w.low(high) << np.uint64(32)
    count = w.low(by) & np.uint64(31)
    how = ".".join(i.modifiers)
    if how == "L.U32":
        w.write(to, both << count)
    elif how == "L.U64.HI":
        w.write(to, (both << count) >> np.uint64(32))
    elif how in ("R.S64", "R.U64"):
        w.write(to, both >> count)
    elif how == "R.U32.HI":
        w.write(to, w.low(high) >> count)
    elif how == "R.S32.HI":
        w.write(to, (w.signed(high) >> count.astype(np.int64)).view(np.uint64))
    else:
        raise SassError(f"SHF.{how} is not known")


def _table(table: int, a: Lanes, b: Lanes, c: Lanes) -> Lanes:
    """Return the function of three bits whose table is given, bit by bit."""
    out = (a & b & c) ^ (a & b & c)
    for row in range(8):
        if table >> row & 1:
            out = out | (a if row & 4 else ~a) & (b if row & 2 else ~b) & (c if row & 1 else ~c)
    return out


@_body("LOP3", "ULOP3")
def _logic(w: _Warp, i: Instruction) -> None:
    to, *rest = i.operands
    flags = []
    if _PREDICATE.match(to):
        flags, (to, *rest) = [to], rest
    a, b, c, table, _ = rest
    value = _table(int(table, 0), w.low(a), w.low(b), w.low(c)) & _LOW
    w.write(to, value)
    for flag in flags:
        w.set_flag(flag, value != 0)


@_body("PLOP3", "UPLOP3")
def _flag_logic(w: _Warp, i: Instruction) -> None:
    first, second, a, b, c, *tables = i.operands
    values = [_table(int(table, 0), w.flag(a), w.flag(b), w.flag(c)) for table in tables]
    for to, value in zip((first, second), values, strict=True):
        w.set_flag(to, value)


@_body("IABS")
def _absolute(w: _Warp, i: Instruction) -> None:
    w.write(i.operands[0], np.abs(w.signed(i.operands[1])).view(np.uint64))


@_body("VIMNMX", "VIADDMNMX")
def _extreme(w: _Warp, i: Instruction) -> None:
    _known(i, "U32")
    to, *numbers, b, least = i.operands
    total = sum((w.bits(text) for text in numbers), np.zeros(1, np.uint64)) & _LOW
    other, kind = w.low(b), np.uint32 if "U32" in i.modifiers else np.int32
    pair = [n.astype(np.uint32).view(kind).astype(np.int64) for n in (total, other)]
    chosen = np.where(w.flag(least), np.minimum(*pair), np.maximum(*pair))
    w.write(to, chosen.view(np.uint64))


_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "EQ": operator.eq, "NE": operator.ne, "LT": operator.lt, "LE": operator.le,
    "GT": operator.gt, "GE": operator.ge,
}  # fmt: skip
_JOIN: dict[str, Callable[[Any, Any], Any]] = {
    "AND": operator.and_, "OR": operator.or_, "XOR": operator.xor
}  # fmt: skip


def _compared(w: _Warp, i: Instruction, result: Lanes) -> None:
    """Write the outcome of a comparison, joined with a predicate, and its opposite's."""
    first, second, _, _, given, *_ = i.operands
    join = _JOIN[next(m for m in i.modifiers if m in _JOIN)]
    given_flag = w.flag(given)
    w.set_flag(first, join(result, given_flag))
    w.set_flag(second, join(~result, given_flag))


@_body("ISETP", "UISETP")
def _compare(w: _Warp, i: Instruction) -> None:
    _known(i, *_COMPARE, *_JOIN, "U32", "EX")
    read = w.low if "U32" in i.modifiers else w.signed
    a, b = read(i.operands[2]), read(i.operands[3])
    how = next(m for m in i.modifiers if m in _COMPARE)
    result = _COMPARE[how](a, b)
    if "EX" in i.modifiers:  # of the high halves; the low ones decide where these are equal
        lower = w.flag(i.operands[5])
        strict = {"LE": "LT", "GE": "GT"}.get(how, how)
        result = _COMPARE[strict](a, b) | (a == b) & lower
    _compared(w, i, result)


# Floating-point numbers ------------------------------------------------------------------------


@_body("FSETP", "DSETP")
def _compare_real(w: _Warp, i: Instruction) -> None:
    double = i.name == "DSETP"
    a, b = (w.real(text, double) for text in i.operands[2:4])
    how = next(m for m in i.modifiers if m not in ("FTZ", *_JOIN))
    unordered = np.isnan(a) | np.isnan(b)
    if how in ("NAN", "NUM"):
        result = unordered if how == "NAN" else ~unordered
    else:
        result = _COMPARE[how.removesuffix("U")](a, b)
        result = result | unordered if how.endswith("U") else result & ~unordered
    _compared(w, i, result)


@_body("FADD", "FMUL", "FFMA", "DADD", "DMUL", "DFMA")
def _arithmetic(w: _Warp, i: Instruction) -> None:
    _known(i, "FTZ")
    double = i.name[0] == "D"
    to, *texts = i.operands
    a, b, *c = (w.real(text, double) for text in texts)
    if i.name.endswith("FMA"):  # one rounding: in the wider format, then to the narrower
        wide = np.longdouble if double else np.float64
        w.write_real(to, (a.astype(wide) * b + c[0]).astype(a.dtype), double)
    else:
        w.write_real(to, a + b if i.name.endswith("ADD") else a * b, double)


@_body("HFMA2")
def _two_halves(w: _Warp, i: Instruction) -> None:
    # the compiler's way of loading a constant beside busy integer units: 0 * 0 + two halves
    to, a, b, high, low = i.operands
    if {a, b} != {"-RZ", "RZ"}:
        raise SassError("HFMA2 that multiplies is not known")
    words = [int(np.float16(float(text)).view(np.uint16)) for text in (high, low)]
    w.write(to, np.array([words[0] << 16 | words[1]], np.uint64))


@_body("MUFU")
def _reciprocal(w: _Warp, i: Instruction) -> None:
    to, a = i.operands
    if i.modifiers == ("RCP",):
        w.write_real(to, np.float32(1) / w.real(a))
    elif i.modifiers == ("RCP64H",):  # upper halves alone
        upper = (w.low(a) << np.uint64(32)).view(np.float64)
        w.write(to, (1 / upper).view(np.uint64) >> np.uint64(32))
    else:
        raise SassError(f"MUFU.{'.'.join(i.modifiers)} is not known")


@_body("I2F", "I2FP")
def _to_real(w: _Warp, i: Instruction) -> None:
    _known(i, "U32", "F32", "S32", "F64", "RP")
    value = (w.low if "U32" in i.modifiers else w.signed)(i.operands[1]).astype(np.float64)
    if "F64" in i.modifiers:
        w.write_real(i.operands[0], value, double=True)
        return
    near = value.astype(np.float32)
    if "RP" in i.modifiers:  # towards plus infinity
        near = np.where(near < value, np.nextafter(near, np.float32(math.inf)), near)
    w.write_real(i.operands[0], near)


@_body("F2I")
def _to_whole(w: _Warp, i: Instruction) -> None:
    _known(i, "FTZ", "U32", "TRUNC", "NTZ")
    value = np.trunc(w.real(i.operands[1]).astype(np.float64))
    w.write(i.operands[0], np.clip(value, 0, 2**32 - 1).astype(np.uint64))


@_body("F2F")
def _between_formats(w: _Warp, i: Instruction) -> None:
    if i.modifiers != ("F32", "F64"):
        raise SassError(f"F2F.{'.'.join(i.modifiers)} is not known")
    w.write_real(i.operands[0], w.real(i.operands[1], double=True).astype(np.float32))
