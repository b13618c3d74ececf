"""Loading PyTorch: without the garbage collector, and with a GPU getting ready meanwhile."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from threading import Thread


@contextmanager
def loading(*, gpu: bool) -> Iterator[None]:
    """What is imported within stays, and the garbage collector looks through none of it.

    PyTorch's modules are 200,000 objects. It would look through them again and again while they
    load and when the program ends: a third of a second. Where PyTorch is loaded already, nothing
    is done: what others have made by then may well be garbage one day.

    Args:
        gpu: whether a GPU may be used, if there is one; see `rouse_gpu`.
    """
    if "torch" in sys.modules:
        yield
        return
    gc.disable()
    try:
        with roused_gpu() if gpu else nullcontext():
            yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def roused_gpu() -> Iterator[None]:
    """`rouse_gpu` meanwhile."""
    thread = Thread(target=rouse_gpu, name="GPU's start")
    thread.start()
    try:
        yield
    finally:
        thread.join()


def rouse_gpu() -> None:
    """Start NVIDIA's driver, and let Triton hash itself: half a second without Python's lock.

    Both remember it. What fails here fails again, and is said, where it is needed.
    """
    with suppress(OSError, AttributeError, ImportError):
        if ctypes.CDLL("libcuda.so.1").cuInit(0) == 0:
            from vfimamba_cli.ops.triton_trial import fingerprint

            fingerprint()
