"""What the emulated driver knows: devices, streams, captures, and what has been counted.

Work is done at once, on the host; only between ``begin_capture`` and ``end_capture`` of the
current stream is it written down instead, to be done by each launch of the graph.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Any, NamedTuple, Protocol

__all__ = [
    "CUDARuntimeError",
    "Device",
    "EmulationError",
    "Event",
    "Graph",
    "Stream",
    "counters",
    "current_device",
    "current_stream",
    "execute",
    "is_capturing",
    "read_by_host",
    "refuse_in_capture",
]


@dataclass
class Counters:
    """How often the host did what costs time on a real machine."""

    host_reads: int = 0
    uploads: int = 0
    launches: int = 0
    """Kernels, element-wise operations, copies on the device and products, not in a capture."""
    recorded: int = 0
    """The same, in a capture."""
    graph_launches: int = 0
    allocations: int = 0
    device_mallocs: int = 0
    """Allocations that no free block of a pool served."""
    synchronizations: int = 0

    def reset(self) -> None:
        """Set all to 0."""
        for field in fields(self):
            setattr(self, field.name, 0)


counters = Counters()


class EmulationError(RuntimeError):
    """Something that is undefined on a GPU, or that the emulator does not know."""


_ERRORS = {
    1: ("cudaErrorInvalidValue", "invalid argument"),
    2: ("cudaErrorMemoryAllocation", "out of memory"),
    35: (
        "cudaErrorInsufficientDriver",
        "CUDA driver version is insufficient for CUDA runtime version",
    ),
    100: ("cudaErrorNoDevice", "no CUDA-capable device is detected"),
    101: ("cudaErrorInvalidDevice", "invalid device ordinal"),
    700: ("cudaErrorIllegalAddress", "an illegal memory access was encountered"),
    900: (
        "cudaErrorStreamCaptureUnsupported",
        "operation not permitted when stream is capturing",
    ),
    901: (
        "cudaErrorStreamCaptureInvalidated",
        "operation failed due to a previous error during capture",
    ),
    906: (
        "cudaErrorStreamCaptureImplicit",
        "operation would make the legacy stream depend on a capturing blocking stream",
    ),
}


class CUDARuntimeError(RuntimeError):
    """An error of the CUDA runtime, by its number; ``why`` is the emulator's own addition."""

    def __init__(self, status: int, why: str = "") -> None:
        self.status = status
        name, text = _ERRORS[status]
        super().__init__(f"{name}: {text}" + (f" ({why})" if why else ""))

    def __reduce__(self) -> Any:
        return CUDARuntimeError, (self.status,)


class _Block(Protocol):
    released: bool

    def check(self, name: str) -> None: ...


class _Node(NamedTuple):
    name: str
    work: Callable[[], None]
    blocks: tuple[_Block, ...]


class _Local(threading.local):
    def __init__(self) -> None:
        self.device = 0
        self.left: list[int] = []  # the devices to go back to
        self.capturing = _capturing  # of this process
        self.streams: dict[int, Stream] = {}  # the current one of each device


_capturing: set[Stream] = set()
_local = _Local()
_streams: dict[int, Stream] = {}
device_count = 2


def configure(devices: int) -> None:
    """Start afresh with a number of devices."""
    global device_count
    device_count = devices
    _local.__init__()  # type: ignore[misc]
    for stream in list(_capturing):
        stream.nodes = None
    _capturing.clear()
    counters.reset()


def become_a_process() -> None:
    """Let this thread stand for a process: what others capture does not concern it."""
    _local.capturing = set()


# Devices


def current_device() -> int:
    """Return the number of the current device."""
    return _local.device


def set_device(index: int) -> None:
    """Make a device the current one."""
    if device_count == 0:
        raise CUDARuntimeError(100)
    if not 0 <= index < device_count:
        raise CUDARuntimeError(101)
    _local.device = index


class Device:
    """A GPU; as a context, the current one.  Equal by number, and not hashable, as CuPy's."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, device: Device | int | None = None) -> None:
        self.id = current_device() if device is None else int(device)

    def __int__(self) -> int:
        return self.id

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __lt__(self, other: Device) -> bool:
        return self.id < other.id

    def __enter__(self) -> Device:
        previous = _local.device
        set_device(self.id)
        _local.left.append(previous)
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _local.device = _local.left.pop()

    def use(self) -> None:
        """Make this the current device."""
        set_device(self.id)

    def synchronize(self) -> None:
        """Wait for all work of this device."""
        synchronize("Device.synchronize")

    @property
    def compute_capability(self) -> str:
        """The generation of the GPU."""
        return "90"

    @property
    def attributes(self) -> dict[str, int]:
        """Some numbers about the GPU."""
        return {"MultiProcessorCount": 4, "MaxThreadsPerBlock": 1024, "WarpSize": 32}

    @property
    def mem_info(self) -> tuple[int, int]:
        """Free and total bytes."""
        return FREE_BYTES, TOTAL_BYTES


FREE_BYTES, TOTAL_BYTES = 2**33, 2**34


# What is done, and what may not be done in a capture


def current_stream() -> Stream:
    """Return the current stream of the current device."""
    return _local.streams.get(_local.device, Stream.null)


def is_capturing() -> bool:
    """Return whether the current stream is capturing."""
    return current_stream().nodes is not None


def refuse_in_capture(what: str, anywhere: bool = False) -> None:
    """Raise, and spoil the capture, where a stream is capturing.

    Parameters
    ----------
    what : str
        What was to be done.
    anywhere : bool
        Any stream at all; else the current one.
    """
    streams = list(_local.capturing) if anywhere else [current_stream()]
    for stream in streams:
        if stream.nodes is not None:
            stream.spoiled = True
            raise CUDARuntimeError(900, what)


def execute(
    name: str,
    work: Callable[[], None],
    blocks: Iterable[_Block] = (),
    *,
    stream: Stream | None = None,
    counted: bool = True,
) -> None:
    """Do a piece of device work, or write it down where the stream is capturing.

    Parameters
    ----------
    name : str
        For messages.
    work : callable
        It must hold NumPy views of raw memory and no arrays of the emulator: a graph does not
        keep the arrays it was recorded with.
    blocks : iterable
        The memory that it touches: its guard bytes are looked at after the work, and a graph
        may not be launched once it was given back to the device.
    stream : Stream, optional
        By default the current one.
    counted : bool
        Whether it is a launch.
    """
    stream = current_stream() if stream is None else stream
    node = _Node(name, work, tuple(blocks))
    if stream.nodes is not None:
        counters.recorded += counted
        stream.nodes.append(node)
        return
    if stream is Stream.null and any(not other.non_blocking for other in _local.capturing):
        raise CUDARuntimeError(906, name)
    counters.launches += counted
    _run(node)


def _run(node: _Node) -> None:
    node.work()
    for block in node.blocks:
        block.check(node.name)


def read_by_host(what: str) -> None:
    """Account for a copy to the host."""
    refuse_in_capture(what)
    counters.host_reads += 1


def upload(what: str) -> None:
    """Account for a copy from the host."""
    refuse_in_capture(what)
    counters.uploads += 1


def synchronize(what: str) -> None:
    """Account for the host's waiting."""
    refuse_in_capture(what, anywhere=True)
    counters.synchronizations += 1


# Streams, events, graphs

_pointers = itertools.count(0x5000, 0x10)


class Stream:
    """A queue of work, each piece of which is done at once."""

    null: Stream

    def __init__(
        self,
        null: bool = False,
        non_blocking: bool = False,
        ptds: bool = False,
        *,
        priority: int | None = None,
    ) -> None:
        if ptds:
            raise NotImplementedError("per-thread default streams are not emulated")
        self.ptr = 0 if null else next(_pointers)
        self.device_id = -1 if null else current_device()
        self.non_blocking = non_blocking
        self.nodes: list[_Node] | None = None
        self.spoiled = False
        self._previous: list[Stream] = []
        _streams[self.ptr] = self

    def __repr__(self) -> str:
        return f"<Stream {self.ptr:#x} (device {self.device_id})>"

    def use(self) -> Stream:
        """Make this the current stream of the current device."""
        if self.device_id not in (-1, current_device()):
            raise RuntimeError(
                f"the stream is of device {self.device_id}, the current one is {current_device()}"
            )
        _local.streams[current_device()] = self
        return self

    def __enter__(self) -> Stream:
        previous = current_stream()
        self.use()
        self._previous.append(previous)
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _local.streams[current_device()] = self._previous.pop()

    @property
    def done(self) -> bool:
        """Whether all work is done."""
        self._refuse("Stream.done")
        return True

    @property
    def is_non_blocking(self) -> bool:
        """Whether it runs beside the default stream."""
        return self.non_blocking

    def _refuse(self, what: str) -> None:
        if self.nodes is not None:
            self.spoiled = True
            raise CUDARuntimeError(900, what)

    def synchronize(self) -> None:
        """Wait for the work of this stream."""
        self._refuse("Stream.synchronize")
        refuse_in_capture("Stream.synchronize")
        counters.synchronizations += 1

    def record(self, event: Event | None = None) -> Event:
        """Put an event into the queue."""
        event = Event() if event is None else event
        event.stream = self
        event.captured = self.nodes is not None
        event.time = time.perf_counter()
        return event

    def wait_event(self, event: Event) -> None:
        """Let later work wait for an event."""
        if event.captured and event.stream is not self:
            raise NotImplementedError("captures that fork into another stream are not emulated")
        if self.nodes is not None and not event.captured:
            self.spoiled = True
            raise CUDARuntimeError(900, "waits for an event from outside of the capture")

    def begin_capture(self, mode: int | None = None) -> None:
        """Write down what is queued from now on instead of doing it."""
        if self is Stream.null or self.nodes is not None:
            raise CUDARuntimeError(900, "begin_capture")
        if mode not in (None, 0, 1, 2):
            raise CUDARuntimeError(1)
        self.nodes, self.spoiled = [], False
        _local.capturing.add(self)

    def end_capture(self) -> Graph:
        """Return the graph of what was queued."""
        if self.nodes is None:
            raise RuntimeError("the stream is not capturing")
        nodes, self.nodes = self.nodes, None
        _local.capturing.discard(self)
        if self.spoiled:
            raise CUDARuntimeError(901)
        return Graph(nodes)

    def is_capturing(self) -> bool:
        """Return whether work is written down."""
        return self.nodes is not None


Stream.null = Stream(null=True)


def stream_of_pointer(pointer: int) -> Stream:
    """Return the stream that a C interface was given."""
    if pointer not in _streams:
        raise EmulationError(f"{pointer:#x} is no stream")
    return _streams[pointer]


class Event:
    """A mark in a stream."""

    def __init__(
        self, block: bool = False, disable_timing: bool = False, interprocess: bool = False
    ) -> None:
        self.disable_timing = disable_timing
        self.stream: Stream | None = None
        self.captured = False
        self.time = 0.0

    def record(self, stream: Stream | None = None) -> None:
        """Put this event into a stream's queue."""
        (current_stream() if stream is None else stream).record(self)

    def synchronize(self) -> None:
        """Wait for what was queued before this event."""
        if self.captured:
            refuse_in_capture("Event.synchronize", anywhere=True)
            raise CUDARuntimeError(1, "the event was recorded in a capture")
        refuse_in_capture("Event.synchronize")
        counters.synchronizations += 1

    @property
    def done(self) -> bool:
        """Whether it was passed."""
        refuse_in_capture("Event.done")
        return True


def elapsed_time(start: Event, end: Event) -> float:
    """Return the milliseconds between two events."""
    if start.disable_timing or end.disable_timing:
        raise CUDARuntimeError(1, "the events do not take the time")
    return (end.time - start.time) * 1e3


class Graph:
    """Work that was written down, to be done again and again on the same memory."""

    def __init__(self, nodes: list[_Node]) -> None:
        self._nodes = nodes

    @property
    def names(self) -> list[str]:
        """The recorded pieces of work, in order (the emulator's own; CuPy has none)."""
        return [node.name for node in self._nodes]

    def debug_dot_str(self, flags: int = 0) -> str:
        """Return the graph in Graphviz's words, with the names that CUDA gives to nodes."""
        nodes = [
            f'"graph_0_node_{number}" [label="{node.name}"];'
            for number, node in enumerate(self._nodes)
        ]
        return "\n".join(["digraph dot {", *nodes, "}"])

    def launch(self, stream: Stream | None = None) -> None:
        """Do the work."""
        stream = current_stream() if stream is None else stream
        if stream.nodes is not None:
            stream.spoiled = True
            raise CUDARuntimeError(900, "Graph.launch")
        counters.graph_launches += 1
        for node in self._nodes:
            if any(block.released for block in node.blocks):
                raise CUDARuntimeError(
                    700, f"{node.name} in a graph: its memory was given back to the device"
                )
            _run(node)

    def upload(self, stream: Stream | None = None) -> None:
        """Get ready for a launch."""
