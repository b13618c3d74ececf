"""Which device the tensors lie on, and when its memory is full."""

import torch

from vfimamba_cli.errors import DeviceError


def choose_device(name: str) -> torch.device:
    """The device called `name`; `auto` is CUDA where there is a device, else the CPU.

    Raises:
        DeviceError: when a device asked for by name is not here; another is never taken instead.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(
            f"No such kind of device: {name!r}", hint="Use auto, cpu, cuda or cuda:N"
        ) from error
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(
            f"Device {name!r} is not supported: only cpu and cuda are",
            hint="Use auto, cpu, cuda or cuda:N",
        )
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise DeviceError(
            f"Device {name!r} was asked for, this machine has {count} usable CUDA devices",
            hint="Use --device cpu, or check the driver with nvidia-smi",
        )
    return device


def numbered(device: torch.device) -> torch.device:
    """`device` by its number: `cuda` alone is what is PyTorch's current one, now and later."""
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", torch.cuda.current_device())


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out.

    On the CPU torch says so by a plain RuntimeError, and while a CUDA graph is recorded by the
    error that ending the recording gives: then it is the one before that counts.
    """
    if error is None:
        return False
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):
        return True
    return is_out_of_memory(error.__context__)
