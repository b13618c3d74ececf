"""What a GPU's libraries do when they are first called, done while the host prepares the network.

cuDNN and cuBLAS take a third of a second to load themselves, without the interpreter's lock: about
as long as Triton takes to find out whether the kernels it has kept are its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import torch
import torch.nn.functional as F


@contextmanager
def warming_up(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Meanwhile what convolutions and matrix products of `dtype` need is loaded on a GPU."""
    if device.type != "cuda":  # the CPU's is loaded with PyTorch
        yield
        return
    thread = Thread(target=touch, args=(device, dtype), name="warm-up")
    thread.start()
    try:
        yield
    finally:
        thread.join()


def touch(device: torch.device, dtype: torch.dtype) -> None:
    """One small convolution and one small product. What fails here fails again where it matters."""
    with suppress(RuntimeError), torch.inference_mode():
        images = torch.zeros(1, 16, 8, 8, device=device, dtype=dtype)
        images = images.contiguous(memory_format=torch.channels_last)
        kernels = torch.zeros(16, 16, 3, 3, device=device, dtype=dtype)
        rows = F.conv2d(images, kernels, padding=1)[0].flatten(1)
        torch.mm(rows, rows.T)
