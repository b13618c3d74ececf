"""What a GPU's libraries do when first called, done while the host prepares the network."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import torch
import torch.nn.functional as F

from vfimamba_cli.engine.precision import default_dtype
from vfimamba_cli.ops.device import choose_device


@contextmanager
def warming_up(name: str, also: Callable[[torch.device], object] | None = None) -> Iterator[None]:
    """Meanwhile cuDNN and cuBLAS load, a third of a second without the interpreter's lock.

    Args:
        name: of the device: auto, cpu, cuda or cuda:N. A CPU's libraries are loaded with PyTorch.
        also: done on a GPU after that, if given.

    Raises:
        DeviceError: there is none of that name.
    """
    device = choose_device(name)
    if device.type != "cuda":
        yield
        return

    def work() -> None:
        touch(device, default_dtype(device))
        if also is not None:
            with suppress(RuntimeError):  # it fails again where it matters, as in `touch`
                also(device)

    thread = Thread(target=work, name="warm-up")
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
