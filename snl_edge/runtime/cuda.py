"""The way to a GPU, through pycuda.

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
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from pycuda import driver  # pyright: ignore[reportMissingImports]

from ..errors import EngineError
from .primary_context import PrimaryContext, call


@contextmanager
def current(device: int) -> Iterator[None]:
    """Makes the GPU's primary context current for the body, on whatever thread it runs, and undoes that after.

    Raises:
        GpuLostError: a CUDA call failed in such a way that the GPU takes no more work in this process.
        EngineError: a CUDA call in the body failed, or this is a forked child.
        SystemExit: the process is ending, and this thread is not the one that ends it.
    """
    try:
        context = _context(device)
    except driver.Error as error:
        raise EngineError(f"GPU {device} cannot be used", str(error), "check `nvidia-smi`") from error
    with context.use():
        yield


@contextmanager
def capturing(device: int) -> Iterator[None]:
    """For the time of a stream's capture: nobody else of this process waits for the whole context meanwhile.

    The driver answers such a wait with an error, which would look like a fault of the GPU, and voids the capture.
    Whatever the collector frees on this thread during the body is freed after it.
    """
    with _context(device).capture():
        yield


def lost(device: int) -> str:
    """That the GPU takes no more work in this process, why, and what to do; empty while it does."""
    context = _context(device)
    return str(context.lost_error()) if context.lost else ""


class Holding:
    """Something on the GPU that must be freed, once, with its context current.

    Args:
        owner: whose end frees it, if it was not freed before.
        device: number of the GPU.
        free: frees it; may raise CUDA's errors.
    """

    def __init__(self, owner: object, device: int, free: Callable[[], None]) -> None:
        self._finalizer = weakref.finalize(owner, lambda: _context(device).free(free))
        # Ours is the order at the end of the process: no call inside, last made first, the context after all.
        self._finalizer.atexit = False
        _context(device).hold(self._finalizer)

    @property
    def held(self) -> bool:
        """Whether it was not freed yet."""
        return self._finalizer.alive

    def free(self) -> None:
        """Frees it; a second call does nothing. Never raises: what cannot be freed is said in the log."""
        call(self._finalizer)


_retaining = threading.RLock()  # a finalizer may come between, on the same thread


def _free_of_locks() -> None:
    """A child of a fork: whoever held the lock is not here."""
    global _retaining  # noqa: PLW0603
    _retaining = threading.RLock()


os.register_at_fork(after_in_child=_free_of_locks)


def _context(device: int) -> PrimaryContext:
    with _retaining:
        return _retained(device)


@cache
def _retained(device: int) -> PrimaryContext:
    context = PrimaryContext(device)
    atexit.register(context.end)
    os.register_at_fork(after_in_child=context.abandon)
    return context
