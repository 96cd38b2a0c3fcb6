"""What a device is: the contract, and what holds for every array library without more ado."""

from __future__ import annotations

import importlib
import platform
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np

from xpnet.arrays import Array, HostArray, Library, library, to_numpy
from xpnet.forks import working

__all__ = ["Allocations", "Communicator", "Device", "DeviceError", "Recorder", "first_line"]


class DeviceError(RuntimeError):
    """A device that cannot be used: the message gives the reason and the cure."""


class Device(ABC):
    """A place to compute: an array library and one of its devices.

    Made by :func:`xpnet.device` from a name, or by :func:`xpnet.devices.device_of` from an array.
    Devices are equal if their names are, and are pickled and copied by name.

    Attributes
    ----------
    name : str
        ``"cpu"``, ``"gpu:0"``, ``"torch:cpu"``, ``"torch:cuda:1"`` ...
    library : str
        The array library: ``"numpy"``, ``"cupy"``, ``"torch"`` ...
    xp : namespace
        The library's array API namespace.
    records : bool
        Whether all work on this device can be recorded and replayed.
    records_loops : bool
        Whether what the ops' compiled loops do can be, and nothing else.
    records_on_one_core : bool
        Whether that takes one core, however many there are.
    forms : tuple of str
        The names that users choose among, as the message about an unknown name lists them.
    """

    records: ClassVar[bool] = False
    records_loops: ClassVar[bool] = False
    records_on_one_core: ClassVar[bool] = False
    forms: ClassVar[tuple[str, ...]] = ()

    def __init__(self, name: str, library: Library, handle: Any) -> None:
        self.name = name
        self.library, self.xp = library.name, library.xp
        self._handle = handle

    @classmethod
    @abstractmethod
    def named(cls, name: str) -> Device | None:
        """Return the device of a name, checked to work; None if no device is named like that.

        The name of a device that it returned, or that ``of`` did, gives an equal device.

        Raises
        ------
        DeviceError
            The device cannot be used; the message says why and what cures it.
        """

    @classmethod
    @abstractmethod
    def of(cls, x: Array) -> Device:
        """Return the device that an array of this class's library lies on."""

    @staticmethod
    def to_numpy(x: Array) -> HostArray:
        """Return the values of an array of this class's library on the host."""
        return np.from_dlpack(x)

    @staticmethod
    def is_current(x: Array) -> bool:
        """Return whether an array lies on the device on which its library works as things are.

        For libraries with a current device, on which new arrays land; the others are not asked.
        """
        return True

    def __repr__(self) -> str:
        return f"device({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_name, (type(self), self.name)

    def asarray(self, x: Array, dtype: str | None = None) -> Array:
        """Return ``x`` as an array on this device.

        Parameters
        ----------
        x : array of any library, or nested numbers
        dtype : str, optional
            The dtype's standard name, such as ``"float32"``; by default that of ``x``.

        Returns
        -------
        array
            On this device.  It may share memory with ``x`` where both are on the host.
        """
        wanted = None if dtype is None else getattr(self.xp, dtype)
        if hasattr(x, "dtype") and library(x).name == self.library and self.of(x) == self:
            with self.scope():
                return x if wanted is None else self.xp.astype(x, wanted, copy=False)
        host = to_numpy(x)
        if not host.flags.writeable:
            host = host.copy()  # torch warns of a read-only source
        host = np.asarray(host, order="C")  # kernels want rows, and CuPy would keep columns
        with self.scope():
            return self.xp.asarray(host, dtype=wanted, device=self._handle)

    def zeros(self, shape: int | tuple[int, ...], dtype: str) -> Array:
        """Return an array of zeros on this device; ``dtype`` is a standard name.

        Its memory starts on a multiple of 256 bytes, so that a view at such an offset keeps
        vector loads aligned and results do not depend on where the allocator put it.
        """
        with self.scope():
            return self.xp.zeros(shape, dtype=getattr(self.xp, dtype), device=self._handle)

    def scope(self) -> AbstractContextManager[Any]:
        """Return a context in which new arrays of this library land on this device."""
        return _NO_SCOPE

    def work(self) -> AbstractContextManager[Any]:
        """Return the scope of one piece of work, which forks of the process wait for.

        That of a pass or an update, not of a run: whoever forks waits that long.
        """
        return working

    def synchronize(self) -> None:  # noqa: B027 - where nothing is queued there is nothing to do
        """Wait until all work queued on this device is done."""

    def free_bytes(self) -> int | None:
        """Return the free memory of an accelerator in bytes; None where arrays share the host's."""
        return None

    def allocations(self) -> AbstractContextManager[Allocations]:
        """Return a context that counts the memory which new arrays take meanwhile.

        Raises
        ------
        DeviceError
            The device does not count it.
        """
        raise DeviceError(f"device {self.name!r} does not count its memory: cpu, gpu and torch do")

    def prefetch(self, batches: Iterator[tuple[Array, ...]]) -> Iterator[tuple[Array, ...]]:
        """Yield groups of host arrays as arrays on this device.

        A GPU takes the next group over while it computes with the last.

        Parameters
        ----------
        batches : iterator of tuples of arrays on the host
        """
        for batch in batches:
            yield tuple(map(self.asarray, batch))

    def communicator(self, rank: int, size: int, share: Callable[[Any], Any]) -> Communicator:
        """Return what joins this device with those of other processes, each of which asks too.

        Parameters
        ----------
        rank, size : int
            The number of this process, and how many there are.
        share : callable
            Returns on each what the first gives.

        Raises
        ------
        DeviceError
            The device does not reach others by itself, or cannot be joined with them.
        """
        raise DeviceError(
            f"device {self.name!r} does not reach those of other processes by itself, as GPUs "
            f"through CuPy do ('gpu'): choose processes='mpi'"
        )

    def host_memory(self, like: Array) -> HostArray:
        """Return memory of the host for an array's values, to which this device copies fast."""
        return np.empty(like.shape, to_numpy(like[:0, ...]).dtype)

    def copy_to_host(self, a: Array, into: HostArray) -> None:
        """Copy an array of this device into memory of the host."""
        into[...] = to_numpy(a)

    def recorder(self) -> Recorder:
        """Return a recorder of work on this device.

        Raises
        ------
        DeviceError
            The device cannot record work.
        """
        raise DeviceError(
            f"device {self.name!r} cannot record work: 'cpu' and GPUs through CuPy can ('gpu')"
        )

    def describe(self) -> dict[str, str]:
        """Return what identifies this device in a run's record: names and versions."""
        module = importlib.import_module(self.library)
        return {
            "device": self.name,
            "backend": self.library,
            "numpy": np.__version__,
            "hardware": platform.machine(),  # its processor() starts a process, under a lock
            self.library: str(getattr(module, "__version__", "unknown")),
        }


class Communicator(ABC):
    """Devices of several processes, one each, that send one another arrays by themselves.

    What is asked for is queued as all other work of a device, and can be recorded with it.
    """

    @abstractmethod
    def all_reduce(self, a: Array) -> None:
        """Add the arrays of all processes, in place, in any order."""

    @abstractmethod
    def all_gather(self, a: Array) -> Array:
        """Return the rows of all processes, of which each has as many, in the order of ranks."""


class Allocations(ABC):
    """A count, in bytes, of the memory of arrays made since it began."""

    @property
    @abstractmethod
    def held(self) -> int:
        """What they hold now."""

    @property
    @abstractmethod
    def peak(self) -> int:
        """The most they held at once since the count began, or began anew."""

    @abstractmethod
    def restart(self) -> None:
        """Begin anew to look for the peak, with what is held now."""


class Recorder(ABC):
    """A queue of work on a device, beside the default one, with memory of its own for recordings.

    Work that is asked for again and again can be recorded once and launched as a whole.

    Attributes
    ----------
    together : int
        Steps that are worth launching together, where nothing looks on in between.
    one_by_one : bool
        Whether that is by launching the recording of a single one several times.
    """

    together: ClassVar[int] = 10
    one_by_one: ClassVar[bool] = False

    @abstractmethod
    def stream(self) -> AbstractContextManager[None]:
        """Queue here what is done within this context: after all before it, before all after it."""

    def work(self) -> AbstractContextManager[None]:
        """Do within this context what is recorded, and what a recording is to equal."""
        return nullcontext()

    @abstractmethod
    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return a function that does again, as one launch, what ``work`` asks of the device.

        ``work`` is called, and what it asks is done once, and written down.  It may read nothing
        back.
        """

    @abstractmethod
    def empty_cache(self) -> None:
        """Give the memory back that past work on this stream keeps for the next."""

    @abstractmethod
    def close(self) -> None:
        """Give the recordings' memory back: none of them may be launched any more."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type's name where there is none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _of_name(kind: type[Device], name: str) -> Device | None:
    """Return a device by its class and name: what copies of devices are made by."""
    return kind.named(name)


_NO_SCOPE = nullcontext()
