"""Loading PyTorch: without the garbage collector, and with a GPU getting ready meanwhile."""

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread


@contextmanager
def loading(device: str) -> Iterator[None]:
    """What is imported within stays, and the garbage collector looks through none of it.

    PyTorch's modules are 200,000 objects. It would look through them again and again while they
    load and when the program ends: a third of a second. Where PyTorch is loaded already, nothing
    is done: what others have made by then may well be garbage one day.

    Args:
        device: that will be asked for: auto, cpu, cuda or cuda:N. If that is a GPU, or may be
            one, see `rouse_gpu`.
    """
    if "torch" in sys.modules:
        yield
        return
    gc.disable()
    try:
        if device == "cpu":
            yield
        else:
            number = device.removeprefix("cuda:")
            with meanwhile(lambda: rouse_gpu(int(number) if number.isdecimal() else 0)):
                yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[None]:
    """Do it in a thread of its own, and wait for it at the end."""
    thread = Thread(target=work, name="GPU's start")
    thread.start()
    try:
        yield
    finally:
        thread.join()


def rouse_gpu(number: int) -> None:
    """Start NVIDIA's driver and its work on a GPU, and let Triton hash itself, all at once.

    That takes half a second without Python's lock, and is remembered. What fails here fails again,
    and is said, where it is needed.

    Args:
        number: of the GPU, as the driver counts those that this process may use.
    """
    with suppress(OSError, AttributeError):
        driver = ctypes.CDLL("libcuda.so.1")
        if driver.cuInit(0) == 0:
            with meanwhile(hash_triton):
                driver.cuDevicePrimaryCtxRetain(ctypes.byref(ctypes.c_void_p()), number)


def hash_triton() -> None:
    """See `rouse_gpu`."""
    with suppress(ImportError, OSError):
        from vfimamba_cli.ops.triton_trial import fingerprint

        fingerprint()
