"""CUDA kernels compiled where they run, by the compiler library that PyTorch brings along.

The user needs neither a compiler nor CUDA's headers: sources include nothing but this package's.
Importing this module needs `cuda.bindings`, which CUDA builds of PyTorch for Linux install.
"""

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from cuda.bindings import driver, nvrtc
from torch import Tensor

from vfimamba_cli.ops.cache import cache_folder

SHARED_LIMIT = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
DYNAMIC_SHARED = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
SHARED_SHARE = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT
DEFAULT_SHARED = 48 * 1024  # bytes a block may have without asking
INCLUDE = re.compile(rb'^#include "(.+)"', re.MULTILINE)

Argument = Tensor | int


class CudaError(RuntimeError):
    """A kernel that does not compile, load or start."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A loaded kernel and what each of its blocks takes.

    Attributes:
        function: the driver's handle.
        context: the device's, which is the calling thread's while it starts.
        threads: of a block.
        shared: bytes of dynamic shared memory of a block.
    """

    function: Any
    context: Any
    threads: int
    shared: int

    def __call__(self, grid: tuple[int, int, int], *arguments: Argument) -> None:
        """Start it on PyTorch's current stream of the first tensor's device.

        Args:
            grid: blocks along x, y, z.
            arguments: as in the kernel's declaration; pointers as tensors, the others are `int`.
        """
        tensor = next(a for a in arguments if isinstance(a, Tensor))
        stream = torch.cuda.current_stream(tensor.device).cuda_stream
        values = tuple(a.data_ptr() if isinstance(a, Tensor) else a for a in arguments)
        types = tuple(ctypes.c_void_p if isinstance(a, Tensor) else ctypes.c_int for a in arguments)
        sizes = (*grid, self.threads, 1, 1, self.shared)
        with current(self.context):
            _checked(driver.cuLaunchKernel(self.function, *sizes, stream, (values, types), 0))


@cache
def load(
    source: str,
    name: str,
    defines: tuple[tuple[str, int], ...],
    device: int,
    *,
    threads: int,
    shared: int,
) -> Kernel:
    """Compile a source of this package for a device and load one of its kernels; once a process.

    Args:
        source: file name, from this module's folder.
        name: of the kernel, declared `extern "C"`.
        defines: macros and their values.
        device: index of the CUDA device.
        threads: of a block.
        shared: bytes of dynamic shared memory of a block.

    Raises:
        CudaError: any step fails.
    """
    (context,) = _checked(driver.cuDevicePrimaryCtxRetain(_handle(device)))
    code = compiled(source, defines, _architecture(device))
    with current(context):
        (module,) = _checked(driver.cuModuleLoadData(code))
        (function,) = _checked(driver.cuModuleGetFunction(module, name.encode()))
        if shared > DEFAULT_SHARED:
            _checked(driver.cuFuncSetAttribute(function, DYNAMIC_SHARED, shared))
            _checked(driver.cuFuncSetAttribute(function, SHARED_SHARE, 100))  # %: many blocks
    return Kernel(function, context, threads, shared)


@contextmanager
def current(context: Any) -> Iterator[None]:
    """The calling thread's context, until the block is left.

    It decides which device is PyTorch's current one, so another's must not stay.
    """
    (before,) = _checked(driver.cuCtxGetCurrent())
    if before == context:
        yield
        return
    _checked(driver.cuCtxSetCurrent(context))
    try:
        yield
    finally:
        _checked(driver.cuCtxSetCurrent(before))


@cache
def shared_limit(device: int) -> int:
    """Bytes of shared memory a block can have."""
    return int(_checked(driver.cuDeviceGetAttribute(SHARED_LIMIT, _handle(device)))[0])


@cache
def compiled(source: str, defines: tuple[tuple[str, int], ...], architecture: str) -> bytes:
    """Machine code of a source of this package; needs no GPU.

    Kept in the user's cache: a network's kernels take some seconds to compile, and every start of
    the program would wait for them.

    Args:
        source: file name, from this module's folder, as are those it includes.
        defines: macros and their values.
        architecture: such as `sm_90`.

    Raises:
        CudaError: it does not compile; with the compiler's words.
    """
    text = _read(source)
    headers = _headers(text)
    options = [f"--gpu-architecture={architecture}", "--std=c++17"]
    options += [f"-D{name}={value}" for name, value in defines]
    version = _checked(nvrtc.nvrtcVersion())
    key = sha256(repr((text, headers, options, version)).encode()).hexdigest()
    kept = cache_folder() / "kernels" / f"{Path(source).stem}-{key[:32]}.cubin"
    if kept.is_file():
        return kept.read_bytes()
    code = _compile(source, text, headers, options)
    _keep(kept, code)
    return code


def _read(name: str) -> bytes:
    return files(__package__).joinpath(name).read_bytes()


def _headers(text: bytes) -> dict[str, bytes]:
    """Headers that a source includes, and those that they include: texts by name as included."""
    found: dict[str, bytes] = {}
    for name in map(bytes.decode, INCLUDE.findall(text)):
        found[name] = _read(name)
        found |= _headers(found[name])
    return found


def _keep(path: Path, code: bytes) -> None:
    """Write a whole file or none: other processes may read it, or write it too."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(code)
        part.replace(path)
    except OSError:  # a cache that cannot be written costs time, nothing else
        with suppress(OSError):
            part.unlink()


def _compile(source: str, text: bytes, headers: dict[str, bytes], options: list[str]) -> bytes:
    names, texts = [name.encode() for name in headers], list(headers.values())
    (program,) = _checked(
        nvrtc.nvrtcCreateProgram(text, source.encode(), len(headers), texts, names)
    )
    try:
        status = nvrtc.nvrtcCompileProgram(program, len(options), [o.encode() for o in options])
        if status[0] != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            (size,) = _checked(nvrtc.nvrtcGetProgramLogSize(program))
            log = b" " * size
            _checked(nvrtc.nvrtcGetProgramLog(program, log))
            words = log.decode().strip("\0\n ")
            raise CudaError(f"{source} does not compile ({' '.join(options)}): {words}")
        (size,) = _checked(nvrtc.nvrtcGetCUBINSize(program))
        code = b" " * size
        _checked(nvrtc.nvrtcGetCUBIN(program, code))
    finally:
        nvrtc.nvrtcDestroyProgram(program)
    return code


def _architecture(device: int) -> str:
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{major}{minor}"


def _handle(device: int) -> Any:
    _checked(driver.cuInit(0))
    return _checked(driver.cuDeviceGet(device))[0]


def _checked(answer: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a call returned besides its status, which is 0 where it succeeded."""
    status, *results = answer
    if int(status) != 0:
        raise CudaError(f"{type(status).__name__} {status.name}")
    return tuple(results)
