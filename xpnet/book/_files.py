"""Parameters in files: written as safetensors, read as that or as the book's pickles.

A pickle is a program.  Here it is not run but read: by pickletools' table of its opcodes, of which
those that a dict of arrays needs are understood.  Nothing can be called; what it says of arrays is
recorded, and checked before an array is made of it.
"""

from __future__ import annotations

import codecs
import io
import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xpnet.arrayfiles import read_arrays
from xpnet.book._globals import HostArray
from xpnet.files import contents, reading

__all__ = ["MAX_OPCODES", "read_params"]

MAX_OPCODES = 2**17
"""The most opcodes of a pickle: one array takes about fifty, and each up to some 150 bytes."""

_MAX_AXES = 64  # NumPy's own
_NUMERIC = re.compile(r"b1|[iu][1248]|f[248]|c8|c16")


def read_params(path: str | Path) -> dict[str, HostArray]:
    """Return the named arrays in a file of ``save_params``, xpnet's or the book's.

    Names of one array in a pickle share it here too.  Reading takes some three times the memory of
    the file.

    Raises
    ------
    ValueError
        The file is neither, or holds anything but numeric arrays in a dict.
    OSError
        It cannot be read.
    """
    raw = contents(path)
    if raw[8:9] == b"{":  # a safetensors file: the size of its header, then JSON
        return read_arrays(path)[0]
    expected = "expected a file of save_params, safetensors or a pickled dict of numeric arrays"
    with reading(path, expected):
        values = _Pickle(raw).value()
        if type(values) is not dict:
            raise ValueError("holds no dict of names")
        return _arrays(values, len(raw))


def _arrays(values: dict[str, Any], most: int) -> dict[str, HostArray]:
    """Make the arrays, which together have no more bytes than the file that they lie in."""
    made: dict[int, HostArray] = {}
    for key, value in values.items():
        if not isinstance(value, _Values):
            raise ValueError(f"holds {type(value).__name__} under {_named(key)}")
        if id(value) not in made:
            made[id(value)] = value.array(most)
            most -= made[id(value)].nbytes
    return {key: made[id(value)] for key, value in values.items()}


@dataclass
class _Dtype:
    """A dtype as a pickle describes it: a code such as ``f8`` and a byte order."""

    code: str
    order: str = "="

    def set_state(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]

    def checked(self) -> np.dtype[Any]:
        """Return the dtype, if it is one of numbers."""
        if type(self.code) is not str or not _NUMERIC.fullmatch(self.code):
            raise ValueError(f"holds numbers of dtype {_named(self.code)}")
        if self.order not in ("<", ">", "|", "="):
            raise ValueError("holds numbers of no known byte order")
        return np.dtype(f"{self.order}{self.code}")


@dataclass
class _Latin1:
    """Bytes that a pickle writes as text."""

    text: str


@dataclass
class _Values:
    """An array as a pickle describes it: its shape, dtype, order and bytes."""

    state: tuple[Any, ...] = ()

    def set_state(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        self.state = shape, dtype, "F" if fortran else "C", data

    def array(self, most: int) -> HostArray:
        """Return the array, if everything about it fits and it has at most so many bytes."""
        shape, dtype, order, data = self.state
        if not isinstance(dtype, _Dtype) or order not in ("C", "F"):
            raise ValueError("holds an array that is not described as NumPy does")
        if type(shape) is not tuple or len(shape) > _MAX_AXES:
            raise ValueError("holds an array of no known shape")
        if not all(type(n) is int and 0 <= n < 2**63 for n in shape):
            raise ValueError("holds an array of no known size")
        found = dtype.checked()
        data = data.text if isinstance(data, _Latin1) else data
        if math.prod(shape) * found.itemsize != len(data):
            raise ValueError("holds an array of another size than it says")
        if len(data) > most:
            raise ValueError("holds more arrays than it has bytes")
        data = data.encode("latin1") if isinstance(data, str) else data
        flat = np.frombuffer(data, found).astype(found.newbyteorder("="))
        return flat.reshape(shape, order=order)


def _reconstruct(*_: Any) -> _Values:
    """Stand in for NumPy's empty array, that a state is then given to."""
    return _Values()


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> _Values:
    """Stand in for the function that protocol 5 makes an array with."""
    return _Values((shape, dtype, order, data))


def _scalar(dtype: Any, data: Any) -> _Values:
    return _Values(((), dtype, "C", data))


def _encode(text: Any, encoding: Any) -> _Latin1:
    """Stand in for the way that protocol 2 writes bytes."""
    if type(text) is not str or encoding != "latin1":
        raise ValueError("holds bytes in an unknown encoding")
    return _Latin1(text)


_STANDING_IN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _reconstruct,  # an argument that _reconstruct does not look at
    ("numpy", "dtype"): lambda code, *_: _Dtype(code),
    ("_codecs", "encode"): _encode,
}
for _core in ("numpy.core", "numpy._core"):
    _STANDING_IN |= {
        (f"{_core}.multiarray", "_reconstruct"): _reconstruct,
        (f"{_core}.multiarray", "scalar"): _scalar,
        (f"{_core}.numeric", "_frombuffer"): _frombuffer,
    }

_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_ARGUMENTS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
"""Opcodes whose argument is the value that they put on the stack."""


class _Pickle:
    """What a pickle's opcodes leave on the stack; each is a method, or a row of the tables above.

    Values are recorded, never copied, so that none of them takes more time or memory than it has
    bytes; only texts are names of a dict, which are quickly hashed.
    """

    def __init__(self, raw: bytes) -> None:
        self._file = io.BytesIO(raw)
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []  # the stacks below each mark
        self._memo: dict[int, Any] = {}

    def value(self) -> Any:
        """Return what the pickle holds."""
        for _ in range(MAX_OPCODES):
            opcode = _OPCODES[self._file.read(1).decode("latin1")]
            name = opcode.name
            if name == "STOP":
                return self._stack.pop()
            if name == "STRING":  # not as pickletools does, which knows ASCII alone
                self._stack.append(_quoted(self._file.readline()))
                continue
            argument = opcode.arg.reader(self._file) if opcode.arg else None
            if name in _ARGUMENTS:
                self._stack.append(argument)
            elif name in _CONSTANTS:
                self._stack.append(_CONSTANTS[name]())
            else:
                self._do(name, argument)
        raise ValueError(f"more than {MAX_OPCODES} opcodes")

    def _do(self, name: str, argument: Any) -> None:
        stack = self._stack
        match name:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                self._marked.append(stack)
                self._stack = []
            case "POP":
                stack.pop()
            case "POP_MARK":
                self._since_mark()
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "TUPLE" | "LIST":
                values = self._since_mark()
                self._stack.append(tuple(values) if name == "TUPLE" else values)
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "DICT":
                pairs = self._since_mark()
                self._stack.append({})
                self._set_items(pairs)
            case "SETITEM":
                pairs = [stack.pop(-2), stack.pop()]
                self._set_items(pairs)
            case "SETITEMS":
                self._set_items(self._since_mark())
            case "GLOBAL":
                module, _, attribute = argument.partition(" ")
                stack.append(_found(module, attribute))
            case "STACK_GLOBAL":
                attribute, module = stack.pop(), stack.pop()
                stack.append(_found(module, attribute))
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                if function not in _STANDING_IN.values() or type(arguments) is not tuple:
                    raise ValueError("calls what cannot be called")
                stack.append(function(*arguments))
            case "BUILD":
                state = stack.pop()
                if not isinstance(stack[-1], (_Values, _Dtype)) or type(state) is not tuple:
                    raise ValueError("gives a state to what has none")
                stack[-1].set_state(state)
            case _:
                raise ValueError(f"holds more than arrays: the opcode {name}")

    def _since_mark(self) -> list[Any]:
        values, self._stack = self._stack, self._marked.pop()
        return values

    def _set_items(self, pairs: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not dict or len(pairs) % 2:
            raise ValueError("sets the items of what has none")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if type(key) is not str:
                raise ValueError(f"holds a name that is {type(key).__name__}, no text")
            target[key] = value


def _quoted(line: bytes) -> str:
    """Return a text of protocol 0, between quotes."""
    text = line.rstrip(b"\n")
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise ValueError("holds a text without its quotes")
    return codecs.escape_decode(text[1:-1])[0].decode("latin1")


def _found(module: Any, name: Any) -> Callable[..., Any]:
    """Return what stands in for a function."""
    if not (type(module) is type(name) is str and (module, name) in _STANDING_IN):
        raise ValueError(f"names {_named(module)} and {_named(name)}")
    return _STANDING_IN[module, name]


def _named(value: Any) -> str:
    """Return how messages call a value: what is no text may be endless in words."""
    return repr(value[:50]) if type(value) is str else type(value).__name__
