"""What a GPU's libraries do when they are first called, done while the host prepares the network.

cuDNN and cuBLAS take a third of a second to load themselves, and so does Triton to hash itself,
which tells whether the kernels it has kept are its own; neither holds the interpreter's lock.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import torch
import torch.nn.functional as F

from vfimamba_cli.engine.precision import default_dtype
from vfimamba_cli.ops.device import choose_device


@contextmanager
def warming_up(name: str) -> Iterator[None]:
    """Meanwhile what convolutions, matrix products and Triton need is loaded, on a GPU.

    Args:
        name: of the device: auto, cpu, cuda or cuda:N.

    Raises:
        DeviceError: there is none of that name.
    """
    device = choose_device(name)
    if device.type != "cuda":  # the CPU's is loaded with PyTorch
        yield
        return
    threads = [
        Thread(target=touch, args=(device, default_dtype(device)), name="warm-up of libraries"),
        Thread(target=fingerprint_triton, name="warm-up of Triton"),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()


def touch(device: torch.device, dtype: torch.dtype) -> None:
    """One small convolution and one small product. What fails here fails again where it matters."""
    with suppress(RuntimeError), torch.inference_mode():
        images = torch.zeros(1, 16, 8, 8, device=device, dtype=dtype)
        images = images.contiguous(memory_format=torch.channels_last)
        kernels = torch.zeros(16, 16, 3, 3, device=device, dtype=dtype)
        rows = F.conv2d(images, kernels, padding=1)[0].flatten(1)
        torch.mm(rows, rows.T)


def fingerprint_triton() -> None:
    """Let Triton, where there is one, hash itself, which it remembers."""
    with suppress(ImportError):
        from vfimamba_cli.ops.triton_trial import fingerprint

        fingerprint()
