"""The GPU's contexts, memory and streams, through pycuda.

pycuda keeps a stack of contexts per thread. Its rules, which this module turns into one way of working
(pycuda 2026.1, ``cuda.hpp``): an object belongs to the context that was current when it was made; it is freed
properly on a thread where that very context object is current, or on the thread that retained it; a thread
must not end with a context on its stack (the process is aborted).

What follows from them and from the driver's own rules:

- `current` is the only way to a context. At the end of the process it lets nobody else in and waits for those inside,
  since Python ends daemon threads wherever they are.
- `Holding` frees what a detector holds: on its call, when the detector is gone, or at the end of the process.
- After a fault, what half-made things hold is dropped while the context is still current.
- Some errors (an illegal address, a fault of the memory) leave a context in which every later call fails, freeing
  included. `current` finds out, and from then on says `GpuLostError`: only a fresh process helps.
- A context does not survive ``fork``. A child is told so, and touches nothing of its parent's.
"""

from __future__ import annotations

import atexit
import ctypes
import logging
import os
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

from pycuda import driver  # pyright: ignore[reportMissingImports]

from ..errors import EngineError, GpuLostError

_log = logging.getLogger(__name__)
_LEAVE_S = 10.0
"""So long the end of the process waits for calls that are inside the driver."""


@contextmanager
def current(device: int) -> Iterator[None]:
    """Makes the GPU's primary context current for the body, on whatever thread it runs, and undoes that after.

    Raises:
        GpuLostError: a CUDA call failed in such a way that the GPU takes no more work in this process.
        EngineError: a CUDA call in the body failed, or this is a forked child.
        SystemExit: the process is ending, and this thread is not the one that ends it.
    """
    try:
        gpu = _gpu(device)
    except driver.Error as error:
        raise EngineError(f"GPU {device} cannot be used", str(error), "check `nvidia-smi`") from error
    gpu.enter()
    try:
        gpu.push()
        try:
            yield
        except Exception as error:  # TensorRT's own kinds, too
            gpu.look_after(error)
            _let_go(error)
            raise
        finally:
            gpu.pop()
    except driver.MemoryError as error:
        raise EngineError(
            f"GPU {device} has too little free memory", str(error), "build with a smaller batch"
        ) from error
    except driver.Error as error:
        raise EngineError(
            f"GPU {device} failed", str(error), "check `dmesg` and `nvidia-smi`, then start again"
        ) from error
    except RuntimeError as error:  # what TensorRT's bindings raise
        raise EngineError(f"TensorRT failed on GPU {device}", str(error), "check `dmesg` and `nvidia-smi`") from error
    finally:
        gpu.leave()


@contextmanager
def capturing(device: int) -> Iterator[None]:
    """For the time of a stream's capture: nobody else of this process waits for the whole context meanwhile.

    The driver answers such a wait with an error, which would look like a fault of the GPU, and voids the capture.
    Whatever the collector frees on this thread during the body is freed after it.
    """
    with _gpu(device).capture():
        yield


def lost(device: int) -> str:
    """Why the GPU takes no more work in this process; empty while it does."""
    return _gpu(device).lost


class Holding:
    """Something on the GPU that must be freed, once, with its context current.

    Args:
        owner: whose end frees it, if it was not freed before.
        device: number of the GPU.
        free: frees it; may raise CUDA's errors.
    """

    def __init__(self, owner: object, device: int, free: Callable[[], None]) -> None:
        self._finalizer = weakref.finalize(owner, _free, device, free)
        # Ours is the order at the end of the process: no call inside, last made first, the context after all.
        self._finalizer.atexit = False
        _gpu(device).hold(self._finalizer)

    @property
    def held(self) -> bool:
        """Whether it was not freed yet."""
        return self._finalizer.alive

    def free(self) -> None:
        """Frees it; a second call does nothing. Never raises: what cannot be freed is said in the log."""
        _call(self._finalizer)


class _Gpu:
    """The primary context of a GPU, which TensorRT's CUDA runtime uses too; kept until the process ends.

    One object for all detectors: pycuda frees memory only under the object it was allocated under, and
    releasing it earlier would leave CUDA's own stack of contexts pointing to a dead one.
    """

    def __init__(self, device: int) -> None:
        driver.init()
        self.device = device
        self.context: Any = driver.Device(device).retain_primary_context()
        self.lost = ""
        """What made the context unusable; empty while it works."""
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._inside: dict[int, int] = {}
        """By thread: how many times it entered."""
        self._ending: int | None = None
        """The thread that ends the process."""
        self._calm = threading.RLock()
        """Held while a stream captures, and by who waits for the whole context."""
        self._capturing: int | None = None
        """The thread that captures."""
        self._put_off: list[Callable[[], None]] = []
        self._held: list[weakref.finalize[..., Any]] = []

    @property
    def forked(self) -> bool:
        """Whether this is a child of the process that made the context."""
        return os.getpid() != self._process

    def enter(self) -> None:
        if self.forked:
            raise EngineError(
                f"GPU {self.device} cannot be used in a forked process",
                "CUDA does not survive a fork after its first use",
                "start processes with multiprocessing's `spawn`, or load the first detector after the fork",
            )
        if self.lost:
            raise self._lost_error()
        thread = threading.get_ident()
        with self._changed:
            if self._ending not in (None, thread):
                raise SystemExit("the process is ending")  # ends a daemon thread without a word, its locks released
            self._inside[thread] = self._inside.get(thread, 0) + 1

    def leave(self) -> None:
        thread = threading.get_ident()
        with self._changed:
            self._inside[thread] -= 1
            if not self._inside[thread]:
                del self._inside[thread]
                self._changed.notify_all()

    def push(self) -> None:
        try:
            self.context.push()
        except driver.Error:
            try:
                self.context.push()
            except driver.MemoryError:
                raise
            except driver.Error as error:  # not even that
                self._lose(error)
                raise self._lost_error() from error

    def pop(self) -> None:
        try:
            self.context.pop()
        except driver.Error as error:  # an error of work done before may come to light here
            self.look_after(error)
            if not self.lost:
                raise

    def look_after(self, error: Exception) -> None:
        """Asks the context whether it still works after ``error``; it is current.

        Raises:
            GpuLostError: it does not.
        """
        if isinstance(error, (driver.MemoryError, GpuLostError)):
            return
        if self._capturing == threading.get_ident():
            return  # the capture's own end will tell
        try:
            with self._calm:
                self.context.synchronize()
        except driver.Error as said:
            self._lose(said)
            _keep_for_ever(error)  # its frames hold things whose destructors would only fail
            raise self._lost_error() from error

    def _lose(self, said: Exception) -> None:
        if not self.lost:
            self.lost = str(said)
            _log.error("GPU %d takes no more work in this process: %s", self.device, said)

    @contextmanager
    def capture(self) -> Iterator[None]:
        with self._calm:
            self._capturing = threading.get_ident()
            try:
                yield
            finally:
                self._capturing = None
                put_off, self._put_off = self._put_off, []
        for free in put_off:
            _free(self.device, free)

    def free(self, free: Callable[[], None]) -> bool:
        """Frees something, or puts it off to the end of a capture; False where nothing can be freed any more."""
        if self._capturing == threading.get_ident():
            self._put_off.append(free)
            return True
        begun = False
        # Twice, should a call fail for once on the way: what is left over is missing for months.
        for _ in range(2):
            if self.forked or self.lost or begun:
                break
            try:
                with current(self.device), self._calm:
                    self.finish_work()
                    begun = True
                    free()
                return True
            except Exception as error:  # a finalizer has nobody to raise to
                _log.warning("not freed: %s", error)
        return False

    def finish_work(self) -> None:
        """Waits until nothing runs that could still use what is about to be freed.

        Raises:
            GpuLostError: the context does not work any more.
        """
        try:
            self.context.synchronize()
        except driver.Error as error:
            self.look_after(error)

    def _lost_error(self) -> GpuLostError:
        return GpuLostError(
            f"GPU {self.device} takes no more work in this process",
            self.lost,
            "start the process again; if it happens again, check `dmesg` and `nvidia-smi`",
        )

    def hold(self, finalizer: weakref.finalize[..., Any]) -> None:
        with self._changed:
            self._held = [held for held in self._held if held.alive]
            self._held.append(finalizer)

    def end(self) -> None:
        """The end of the process: frees what is left, in an order in which CUDA still works."""
        if self.forked:
            return
        with self._changed:
            self._ending = threading.get_ident()
            left = self._changed.wait_for(lambda: not self._inside, _LEAVE_S)
        if not left:
            _log.error("a call has been inside the driver of GPU %d for %.0f s: left as it is", self.device, _LEAVE_S)
            self.abandon()
            return
        for held in reversed(self._held):
            _call(held)
        if self.lost:
            self.abandon()
            return
        # Without detach(), pycuda's destructor would try to detach the primary context like an ordinary one, and warn.
        with suppress(driver.Error):  # the process is ending
            self.context.push()
            self.context.detach()

    def abandon(self) -> None:
        """Leaves the context and all that is held to the end of the process."""
        _keep_for_ever(self.context)
        for held in self._held:
            _keep_for_ever(held.detach())


def _call(finalizer: weakref.finalize[..., Any]) -> None:
    """Calls a finalizer that was not called yet, also when `weakref` has ended all of its own."""
    detached = finalizer.detach()
    if detached is not None:
        _, function, arguments, _ = detached
        function(*arguments)


def _free(device: int, free: Callable[[], None]) -> None:
    # In a child it is not ours to free, and in a dead context nothing can be: its destructors must not even try.
    if not _gpu(device).free(free):
        _keep_for_ever(free)


def _let_go(error: BaseException | None) -> None:
    """Drops what frames of ``error`` that have ended still hold, now that the context is current to free it under."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _keep_for_ever(what: object) -> None:
    """No reference that is given up, the interpreter's last ones included, frees it."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(what))


_retaining = threading.RLock()  # a finalizer may come between, on the same thread


def _free_of_locks() -> None:
    """A child of a fork: whoever held the lock is not here."""
    global _retaining  # noqa: PLW0603
    _retaining = threading.RLock()


os.register_at_fork(after_in_child=_free_of_locks)


def _gpu(device: int) -> _Gpu:
    with _retaining:
        return _retained(device)


@cache
def _retained(device: int) -> _Gpu:
    gpu = _Gpu(device)
    atexit.register(gpu.end)
    os.register_at_fork(after_in_child=gpu.abandon)
    return gpu
