"""Kernels in CUDA C++, compiled by g++ for the processor they are tested on.

`tests/ops/host` has what CUDA gives and C++ does not: the threads of a block, which take turns,
and in the place of the headers of `vfimamba_cli/ops`, whose functions are in assembly, others of
the same names. It is slow, and says nothing about speed.
"""

import ctypes
import importlib
import importlib.util
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import torch

HOST = Path(__file__).parent / "host"
OPS = Path(__file__).parents[2] / "vfimamba_cli/ops"
NVRTC = "vfimamba_cli.ops.nvrtc"

needs_compiler = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="no g++: CUDA C++ is NOT tested here"),
    pytest.mark.skipif(
        importlib.util.find_spec("cuda") is not None, reason="NVRTC is here: the GPU's tests run"
    ),
]


class HostKernel:
    """Called as `nvrtc.Kernel` is; done when it returns."""

    def __init__(self, function):
        self.function = function

    def __call__(self, grid, *arguments):
        tensors = [a.data_ptr() for a in arguments if isinstance(a, torch.Tensor)]
        numbers = [a for a in arguments if not isinstance(a, torch.Tensor)]
        pointers = (ctypes.c_void_p * len(tensors))(*tensors)
        self.function(*grid, pointers, (ctypes.c_int * len(numbers))(*numbers))


def import_with_host_kernels(monkeypatch, folder, *names):
    """Modules that load CUDA C++, loading it from `folder`, where it is compiled."""

    @cache
    def compiled(source, defines):
        stem = Path(source).stem
        library = folder / f"{stem}-{abs(hash(defines))}.so"
        command = ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", "-w", f"-I{HOST}", f"-I{OPS}"]
        command += [f"-D{name}={value}" for name, value in defines]
        command += [str(HOST / f"{stem}_host.cpp"), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return ctypes.CDLL(str(library))

    def load(source, name, defines, device, *, threads, shared):
        return HostKernel(getattr(compiled(source, defines), f"run_{name}"))

    nvrtc = ModuleType(NVRTC)
    nvrtc.Kernel, nvrtc.CudaError, nvrtc.load = HostKernel, RuntimeError, load
    nvrtc.shared_limit = lambda device: 227 * 1024
    monkeypatch.setitem(sys.modules, NVRTC, nvrtc)
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    modules = [importlib.import_module(name) for name in names]
    for name in names:  # as they were: not there
        monkeypatch.delitem(sys.modules, name)
    return modules
