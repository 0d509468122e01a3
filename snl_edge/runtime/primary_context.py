"""A GPU's primary context: who is inside, what is held in it, whether it still works, and how it ends."""

from __future__ import annotations

import ctypes
import logging
import os
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pycuda import driver  # pyright: ignore[reportMissingImports]

from ..errors import EngineError, GpuLostError

_log = logging.getLogger(__name__)
_LEAVE_S = 10.0
"""So long the end of the process waits for calls that are inside the driver."""


class PrimaryContext:
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

    @contextmanager
    def use(self) -> Iterator[None]:
        """Makes it current for the body, on whatever thread it runs; errors as `snl_edge.runtime.cuda.current`."""
        self._enter()
        try:
            self._push()
            try:
                yield
            except Exception as error:  # TensorRT's own kinds, too
                self._look_after(error)
                _let_go(error)
                raise
            finally:
                self._pop()
        except driver.MemoryError as error:
            raise EngineError(
                f"GPU {self.device} has too little free memory", str(error), "build with a smaller batch"
            ) from error
        except driver.Error as error:
            raise EngineError(
                f"GPU {self.device} failed", str(error), "check `dmesg` and `nvidia-smi`, then start again"
            ) from error
        except RuntimeError as error:  # what TensorRT's bindings raise
            raise EngineError(
                f"TensorRT failed on GPU {self.device}", str(error), "check `dmesg` and `nvidia-smi`"
            ) from error
        finally:
            self._leave()

    def _enter(self) -> None:
        if self.forked:
            raise EngineError(
                f"GPU {self.device} cannot be used in a forked process",
                "CUDA does not survive a fork after its first use",
                "start processes with multiprocessing's `spawn`, or load the first detector after the fork",
            )
        if self.lost:
            raise self.lost_error()
        thread = threading.get_ident()
        with self._changed:
            if self._ending not in (None, thread):
                raise SystemExit("the process is ending")  # ends a daemon thread without a word, its locks released
            self._inside[thread] = self._inside.get(thread, 0) + 1

    def _leave(self) -> None:
        thread = threading.get_ident()
        with self._changed:
            self._inside[thread] -= 1
            if not self._inside[thread]:
                del self._inside[thread]
                self._changed.notify_all()

    def _push(self) -> None:
        try:
            self.context.push()
        except driver.Error:
            try:
                self.context.push()
            except driver.MemoryError:
                raise
            except driver.Error as error:  # not even that
                self._lose(error)
                raise self.lost_error() from error

    def _pop(self) -> None:
        try:
            self.context.pop()
        except driver.Error as error:  # an error of work done before may come to light here
            self._look_after(error)
            if not self.lost:
                raise

    def _look_after(self, error: Exception) -> None:
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
            raise self.lost_error() from error

    def _lose(self, said: Exception) -> None:
        if not self.lost:
            self.lost = str(said)
            _log.error("GPU %d takes no more work in this process: %s", self.device, said)

    @contextmanager
    def capture(self) -> Iterator[None]:
        """See `snl_edge.runtime.cuda.capturing`."""
        with self._calm:
            self._capturing = threading.get_ident()
            try:
                yield
            finally:
                self._capturing = None
                put_off, self._put_off = self._put_off, []
        for free in put_off:
            self.free(free)

    def free(self, free: Callable[[], None]) -> None:
        """Frees something, or puts it off to the end of a capture; never raises."""
        if self._capturing == threading.get_ident():
            self._put_off.append(free)
            return
        begun = False
        # Twice, should a call fail for once on the way: what is left over is missing for months.
        for _ in range(2):
            if self.forked or self.lost or begun:
                break
            try:
                with self.use(), self._calm:
                    self._finish_work()
                    begun = True
                    free()
                return
            except Exception as error:  # a finalizer has nobody to raise to
                _log.warning("not freed: %s", error)
        # In a child it is not ours to free, and in a dead context nothing can be: its destructors must not even try.
        _keep_for_ever(free)

    def _finish_work(self) -> None:
        """Waits until nothing runs that could still use what is about to be freed.

        Raises:
            GpuLostError: the context does not work any more.
        """
        try:
            self.context.synchronize()
        except driver.Error as error:
            self._look_after(error)

    def lost_error(self) -> GpuLostError:
        """What is raised from then on."""
        return GpuLostError(
            f"GPU {self.device} takes no more work in this process",
            self.lost,
            "start the process again; if it happens again, check `dmesg` and `nvidia-smi`",
        )

    def hold(self, finalizer: weakref.finalize[..., Any]) -> None:
        """Is called at the end of the process, if it was not before: the last one first."""
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
            call(held)
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


def call(finalizer: weakref.finalize[..., Any]) -> None:
    """Calls a finalizer that was not called yet, also when `weakref` has ended all of its own."""
    detached = finalizer.detach()
    if detached is not None:
        _, function, arguments, _ = detached
        function(*arguments)


def _let_go(error: BaseException | None) -> None:
    """Drops what frames of ``error`` that have ended still hold, now that the context is current to free it under."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _keep_for_ever(what: object) -> None:
    """No reference that is given up, the interpreter's last ones included, frees it."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(what))
