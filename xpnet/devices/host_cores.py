"""The cores that run a recorded step: one is the caller's thread, each other a thread that waits.

Within a step cores wait for one another at barriers, and a wait is shorter than the system's
shortest sleep: so they look again and again.  But a core that another process has taken does not
come for milliseconds, in which the others had better let go of theirs: after some looks they
yield.  Between steps the waiting threads look for a moment, and then sleep until they are woken.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from xpnet import forks

__all__ = ["Cores", "cores", "several"]

LOOKS = 4_000
"""Looks, of some 10 ns each, before a core yields or sleeps."""

GO, CODE, BASE, ASLEEP, COUNT, FAILED = (8 * place for place in range(6))
"""Where each word lies in the memory that cores share: each in a line of the cache, 8 words."""

FUTEX = {"x86_64": 202}
"""The number of Linux's call by which a thread sleeps until a word of memory changes."""


def _look(word: str, is_there: str, then: str, *, before: str, late: str, looked: str) -> str:
    """Return blocks that look at a word of memory until it ``is_there``, and ``then`` go on.

    After LOOKS of them they go to the block ``late``, which comes back with how often was looked.
    """
    return f"""look:
  %looks = phi i64 [ 0, %{before} ], [ %more, %again ], [ {looked}, %{late} ]
  %now = load atomic i64, i64* %{word} acquire, align 8
  %there = icmp {is_there}
  br i1 %there, label %{then}, label %not_yet
not_yet:
  %more = add i64 %looks, 1
  %long = icmp sgt i64 %more, {LOOKS}
  br i1 %long, label %{late}, label %again
again:
  call void @llvm.x86.sse2.pause()
  br label %look
"""


REPORT = """
define void @report(i64 %call) {{
  %failed_at = inttoptr i64 {failed} to i64*
  store i64 %call, i64* %failed_at
  ret void
}}
"""

WAIT = (
    """
declare void @llvm.x86.sse2.pause()

define void @wait_for(i64 %target) {{
entry:
  %count = inttoptr i64 {count} to i64*
  %before = atomicrmw add i64* %count, i64 1 seq_cst
  br label %look
"""
    + _look("count", "sge i64 %now, %target", "done", before="entry", late="yield", looked="%more")
    + """yield:
  %function = inttoptr i64 {sched_yield} to i32 ()*
  %ignored = call i32 %function()
  br label %look
done:
  ret void
}}

"""
)

SERVE = (
    """
declare void @llvm.x86.sse2.pause()

define void @serve(i64 %core, i64 %seen) {{
entry:
  %go = inttoptr i64 {go} to i64*
  %asleep = inttoptr i64 {asleep} to i64*
  br label %next
next:
  %last = phi i64 [ %seen, %entry ], [ %now, %start ]
  br label %look
"""
    + _look("go", "ne i64 %now, %last", "start", before="next", late="sleep", looked="0")
    + """sleep:
  %down = atomicrmw add i64* %asleep, i64 1 seq_cst
  %function = inttoptr i64 {syscall} to i64 (i64, i64, i64, i64, i64, i64, i64)*
  %ignored = call i64 %function(i64 {futex}, i64 {go}, i64 128, i64 %last, i64 0, i64 0, i64 0)
  %up = atomicrmw sub i64* %asleep, i64 1 seq_cst
  br label %look
start:
  %code_at = inttoptr i64 {code} to i64*
  %codes = load i64, i64* %code_at
  %offset = mul i64 %core, 8
  %place = add i64 %codes, %offset
  %own_at = inttoptr i64 %place to i64*
  %own = load i64, i64* %own_at
  %step = inttoptr i64 %own to void (i64)*
  %base_at = inttoptr i64 {base} to i64*
  %base = load i64, i64* %base_at
  call void %step(i64 %base)
  br label %next
}}

define void @launch(i64 %code, i64 %base) {{
entry:
  %go = inttoptr i64 {go} to i64*
  %before = atomicrmw add i64* %go, i64 1 seq_cst
  %asleep_at = inttoptr i64 {asleep} to i64*
  %asleep = load atomic i64, i64* %asleep_at seq_cst, align 8
  %sleepers = icmp sgt i64 %asleep, 0
  br i1 %sleepers, label %wake, label %run
wake:
  %function = inttoptr i64 {syscall} to i64 (i64, i64, i64, i64, i64, i64, i64)*
  %ignored = call i64 %function(i64 {futex}, i64 {go}, i64 129, i64 1000, i64 0, i64 0, i64 0)
  br label %run
run:
  %step = inttoptr i64 %code to void (i64)*
  call void %step(i64 %base)
  ret void
}}
"""
)


class Cores:
    """Some cores.

    Parameters
    ----------
    count : int
        With that of the thread that launches.
    """

    def __init__(self, count: int) -> None:
        words = np.zeros(6 * 8 + 8, np.int64)
        self._shared = words[-words.ctypes.data % 64 // 8 :][: 6 * 8]
        self._count = count
        self._unused: deque[Any] = deque()
        """Code that no one will run again: a core may still be about to return from it, until it
        runs another."""
        self._turn: AbstractContextManager[Any] = contextlib.nullcontext()
        if count > 1:
            turn = self._turn = threading.Lock()  # a launch of another thread has to wait
            forks.hold(turn)
        self._process = self._started = 0
        self._places = {
            name: self._shared.ctypes.data + 8 * place
            for name, place in {
                "go": GO, "code": CODE, "base": BASE, "asleep": ASLEEP, "count": COUNT,
                "failed": FAILED,
            }.items()
        }  # fmt: skip
        if count > 1:
            self._places |= _system()
            library = self._library = _machine_code(SERVE.format(**self._places))
            self._serve, self._launch = (
                ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(
                    library.get_function_address(name)
                )
                for name in ("serve", "launch")
            )

    def _start(self) -> None:
        """Start the threads that wait and are not there: a forked child has none."""
        if self._process != os.getpid():
            self._process, self._started = os.getpid(), 1
            self._shared[ASLEEP] = 0
        while self._started < self._count:
            threading.Thread(
                target=self._serve, args=(self._started, int(self._shared[GO])),
                name=f"xpnet-core-{self._started}", daemon=True,
            ).start()  # fmt: skip
            self._started += 1

    def runner(self, source: str) -> Callable[[], int]:
        """Return a function that runs some code on all cores: ``step_0``, ``step_1`` ...

        They may call ``report`` with a number, which the function returns, otherwise 0; and
        ``wait_for``, which returns when so many calls have been made of it, by all cores, since
        the number that they are given.
        """
        several = self._count > 1
        common = (REPORT + WAIT * several).format(**self._places)
        code = _machine_code(common + source)
        steps = [code.get_function_address(f"step_{core}") for core in range(self._count)]
        table = np.array(steps, np.int64)
        there = table.ctypes.data
        shared, turn, first = self._shared, self._turn, steps[0]
        alone = ctypes.CFUNCTYPE(None, ctypes.c_int64)(first)

        def run() -> int:
            with turn:
                if self._process != os.getpid() or self._started < self._count:
                    self._start()
                unused = len(self._unused)
                shared[CODE], base = there, int(shared[COUNT])
                shared[BASE], shared[FAILED] = base, 0
                if several:
                    self._launch(first, base)
                else:
                    alone(base)
                for _ in range(unused):
                    self._unused.popleft()
                return int(shared[FAILED])

        weakref.finalize(run, self._unused.append, (code, table))
        return run


def cores(count: int) -> Cores:
    """Return some cores: one that is the caller's own, or several that all callers share."""
    return Cores(1) if count == 1 else _shared_cores(count)


@functools.cache
def _shared_cores(count: int) -> Cores:
    return Cores(count)


def several() -> bool:
    """Return whether a recording can take several cores here, and not one alone."""
    return sys.platform == "linux" and platform.machine() in FUTEX


def _system() -> dict[str, int]:
    """Return what waiting asks of the system, and the addresses of its functions."""
    library = ctypes.CDLL(None)
    places = {
        name: ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
        for name in ("sched_yield", "syscall")
    }
    return {"futex": FUTEX[platform.machine()], **places}


@functools.cache
def _target() -> Any:
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.Target.from_default_triple()


def _machine_code(source: str) -> Any:
    from llvmlite import binding

    module = binding.parse_assembly(source)
    module.verify()
    engine = binding.create_mcjit_compiler(module, _target().create_target_machine(opt=1))
    engine.finalize_object()
    return engine
