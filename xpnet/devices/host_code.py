"""Work on the processor recorded as machine code: compiled loops, called one after the other.

A loop that numba has compiled is a function at an address, and an array that it takes is a few
whole numbers: where it lies, its shape and strides.  So what a step asks of loops is straight-line
code: each call with its arguments as constants.  LLVM makes machine code of it in some
milliseconds; a launch runs it without Python, and without the lock of Python's interpreter.

Where work is split, each core has code of its own, and cores wait for one another before and
after (:mod:`xpnet.devices.host_cores`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from itertools import groupby
from typing import Any, ClassVar, NamedTuple, TypeVar

from xpnet.devices.base import Recorder
from xpnet.devices.host_cores import cores, several
from xpnet.forks import working
from xpnet.threadpool import in_turn

__all__ = ["Calls", "HostCode", "loops_alone", "recording"]

T = TypeVar("T")


class Call(NamedTuple):
    """A loop, and the arguments that it was called with, whose memory must stay.

    Calls of one stage that are of several cores may be made at the same time.
    """

    loop: Any
    args: tuple[Any, ...]
    stage: int
    core: int


class Calls:
    """What is being recorded."""

    def __init__(self) -> None:
        self.all: list[Call] = []
        self._stage = self._core = 0

    def add(self, loop: Any, args: tuple[Any, ...]) -> None:
        """Note that a compiled loop was called."""
        self.all.append(Call(loop, args, self._stage, self._core))

    def split(self, task: Callable[[int, int], T], shares: Sequence[tuple[int, int]]) -> list[T]:
        """Do each share of some work in turn, noted as that of a core of its own."""
        self._stage += 1
        found = []
        for number, share in enumerate(shares):
            self._core = number if several() else 0
            found.append(task(*share))
        self._core, self._stage = 0, self._stage + 1
        return found


recording: ContextVar[Calls | None] = ContextVar("recording", default=None)
"""What is being recorded in this thread, or None: whoever calls a compiled loop adds it."""


loops_alone: ContextVar[bool] = ContextVar("loops_alone", default=False)
"""Whether what is asked for in this thread shall be done by compiled loops, so that it can be
recorded, where another library would be as fast or faster."""


class HostCode(Recorder):
    """Recordings of compiled loops."""

    one_by_one: ClassVar[bool] = True

    def stream(self) -> AbstractContextManager[None]:
        """Return no context: work is done as it is asked for."""
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        """Let compiled loops do what other libraries would do as well, and no recording holds."""
        token = loops_alone.set(True)
        try:
            yield
        finally:
            loops_alone.reset(token)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return a function that makes the same calls; ``work`` makes them, too."""
        with _recording() as calls:
            work()
        return _Code(calls.all)

    def empty_cache(self) -> None:
        """Leave the memory to Python."""

    def close(self) -> None:
        """Leave the memory to Python."""


@contextlib.contextmanager
def _recording() -> Iterator[Calls]:
    calls = Calls()
    token = recording.set(calls)
    try:
        with in_turn(calls.split):
            yield calls
    finally:
        recording.reset(token)


class _Code:
    """Machine code of some calls."""

    def __init__(self, calls: list[Call]) -> None:
        self._calls = calls
        count = 1 + max((call.core for call in calls), default=0)
        with working:  # LLVM has a lock of its own
            source = "\n".join(_written(calls, core, count) for core in range(count))
            self._run = cores(count).runner(source)

    def __call__(self) -> None:
        failed = self._run()
        if failed:
            name = self._calls[failed - 1].loop.py_func.__name__
            raise RuntimeError(f"a recorded call of {name} failed")


def _stages(calls: list[Call]) -> list[list[tuple[int, Call]]]:
    """Return the calls, numbered from 1, of each stage."""
    stages = groupby(enumerate(calls, 1), key=lambda numbered: numbered[1].stage)
    return [list(stage) for _, stage in stages]


def _written(calls: list[Call], core: int, count: int) -> str:
    """Return the source, in LLVM's language, of the function that makes the calls of a core.

    It is called ``step_CORE``, and is given how often ``wait_for`` was called before.
    """
    from llvmlite import ir

    byte, number, status = ir.IntType(8).as_pointer(), ir.IntType(64), ir.IntType(32)
    module = ir.Module()
    takes_number = ir.FunctionType(ir.VoidType(), [number])
    wait, report, step = (
        ir.Function(module, takes_number, name) for name in ("wait_for", "report", f"step_{core}")
    )
    build = ir.IRBuilder(step.append_basic_block())
    result, problem = build.alloca(number), build.alloca(byte)
    for passed, stage in enumerate(_stages(calls), 1):
        for place, (loop, args, _, own) in stage:
            if own != core:
                continue
            code = loop.overloads[tuple(map(loop.typeof_pyval, args))]
            kinds, about = code.fndesc.argtypes, code.fndesc
            function = code.target_context.call_conv.get_function_type(about.restype, kinds)
            address = code.library.get_pointer_to_function(about.llvm_func_name)
            words = (w for kind, arg in zip(kinds, args, strict=True) for w in _words(kind, arg))
            to_result, to_problem, *rest = function.args
            given = [build.bitcast(result, to_result), build.bitcast(problem, to_problem)]
            given += [_constant(k, word) for k, word in zip(rest, words, strict=True)]
            target = build.inttoptr(ir.Constant(number, address), function.as_pointer())
            failed = build.icmp_signed(">", build.call(target, given), ir.Constant(status, 0))
            with build.if_then(failed):
                build.call(report, [ir.Constant(number, place)])
        if count > 1:
            build.call(wait, [build.add(step.args[0], ir.Constant(number, passed * count))])
    build.ret_void()
    lines = str(module).splitlines()
    return "\n".join(line for line in lines if not line.startswith(("target", "declare", ";")))


def _constant(kind: Any, word: Any) -> Any:
    from llvmlite import ir

    if isinstance(kind, ir.PointerType):
        return ir.Constant(ir.IntType(64), word).inttoptr(kind)
    return ir.Constant(kind, word)


def _words(kind: Any, arg: Any) -> list[Any]:
    """Return the numbers that numba passes for an argument."""
    from numba import types

    if isinstance(kind, types.Array):
        return [0, 0, arg.size, arg.itemsize, arg.ctypes.data, *arg.shape, *arg.strides]
    if isinstance(kind, types.BaseTuple):
        return [word for part, value in zip(kind, arg, strict=True) for word in _words(part, value)]
    return [float(arg) if isinstance(kind, types.Float) else int(arg)]
