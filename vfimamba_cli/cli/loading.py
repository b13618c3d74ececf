"""Loading PyTorch without the garbage collector."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """What is imported within stays, and the garbage collector looks through none of it.

    PyTorch's modules are 200,000 objects. It would look through them again and again while they
    load and when the program ends: a third of a second. Where PyTorch is loaded already, nothing
    is done: what others have made by then may well be garbage one day.
    """
    if "torch" in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
