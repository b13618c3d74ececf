"""Machine code is made once and kept; a cache that cannot be used costs time only."""

import importlib.util
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

if importlib.util.find_spec("cuda") is None:
    pytest.skip("cuda-bindings is not installed: NVRTC is NOT tested here", allow_module_level=True)

from vfimamba_cli.ops import nvrtc

KERNEL = b'extern "C" __global__ void set(int *x) { x[threadIdx.x] = VALUE; }'


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A source in a package of its own, an empty cache, and the compilations so far."""
    (tmp_path / "set.cu").write_bytes(KERNEL)
    monkeypatch.setattr(nvrtc, "files", lambda _: tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    compiled, compile_it = [], nvrtc._compile
    monkeypatch.setattr(nvrtc, "_compile", lambda *a: compiled.append(a) or compile_it(*a))
    nvrtc.compiled.cache_clear()
    yield tmp_path, compiled
    nvrtc.compiled.cache_clear()


def compile_again(value=1, architecture="sm_90", macro="VALUE"):
    nvrtc.compiled.cache_clear()  # as a new process
    return nvrtc.compiled("set.cu", ((macro, value),), architecture)


def test_a_kernel_is_compiled_once(source):
    _, compiled = source
    code = compile_again()
    assert code.startswith(b"\x7fELF")
    assert compile_again() == code
    assert len(compiled) == 1


def test_macros_architecture_and_source_make_another_kernel(source):
    folder, compiled = source
    compile_again()
    compile_again(value=2)
    compile_again(architecture="sm_80")
    (folder / "set.cu").write_bytes(KERNEL.replace(b"VALUE", b"VALUE + 1"))
    compile_again()
    assert len(compiled) == 4
    kept = list((folder / "cache" / "vfimamba" / "kernels").iterdir())
    assert len(kept) == 4
    assert all(path.suffix == ".cubin" for path in kept)  # and no half file


def test_a_header_counts_wherever_it_is_included(source):
    folder, compiled = source
    (folder / "parts").mkdir()
    outer, inner, other = (folder / "parts" / name for name in ("a.cuh", "b.cuh", "c.cuh"))
    (folder / "set.cu").write_bytes(b'#include "parts/a.cuh"\n' + KERNEL)
    outer.write_bytes(b'#pragma once\n#include "parts/b.cuh"\n')
    inner.write_bytes(b"#define VALUE 1\n")
    other.write_bytes(b"")
    first = compile_again(macro="OTHER")
    other.write_bytes(b"#error\n")  # included by nobody
    assert compile_again(macro="OTHER") == first
    assert len(compiled) == 1
    inner.write_bytes(b"#define VALUE 2\n")
    assert compile_again(macro="OTHER") != first
    outer.write_bytes(b"#define VALUE 3\n")
    assert compile_again(macro="OTHER") != first
    assert len(compiled) == 3


def test_headers_come_from_the_package_not_from_where_it_runs(source, monkeypatch):
    folder, _ = source
    (folder / "set.cu").write_bytes(b'#include "a.cuh"\n' + KERNEL)
    (folder / "a.cuh").write_bytes(b"")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.cuh").write_bytes(b"#error not this\n")
    monkeypatch.chdir(elsewhere)
    assert compile_again()


def test_a_cache_that_cannot_be_written_is_done_without(source):
    folder, compiled = source
    (folder / "cache").write_text("a file where the folder would be")
    assert compile_again() == compile_again()
    assert len(compiled) == 2


class Driver:
    """NVIDIA's, as far as contexts go; kernels fail to start where `fails`."""

    def __init__(self, context, *, fails=False):
        self.context, self.fails, self.launched_in = context, fails, []

    def cuCtxGetCurrent(self):  # noqa: N802 - its names
        return 0, self.context

    def cuCtxSetCurrent(self, context):  # noqa: N802
        self.context = context
        return (0,)

    def cuLaunchKernel(self, *arguments):  # noqa: N802
        self.launched_in.append(self.context)
        return (nvrtc.driver.CUresult.CUDA_ERROR_LAUNCH_FAILED if self.fails else 0,)


@pytest.mark.parametrize("before", [0, 1, 2])  # 0: none
@pytest.mark.parametrize("fails", [False, True])
def test_a_kernel_starts_in_its_devices_context_and_leaves_the_threads(monkeypatch, before, fails):
    driver = Driver(before, fails=fails)
    driver.CUresult = nvrtc.driver.CUresult
    monkeypatch.setattr(nvrtc, "driver", driver)
    stream = SimpleNamespace(cuda_stream=0)
    monkeypatch.setattr(nvrtc.torch.cuda, "current_stream", lambda _: stream)
    kernel = nvrtc.Kernel(function=None, context=1, threads=32, shared=0)
    with pytest.raises(nvrtc.CudaError) if fails else nullcontext():
        kernel((1, 1, 1), nvrtc.torch.zeros(1))
    assert driver.launched_in == [1]
    assert driver.context == before


def test_a_source_that_does_not_compile_says_why(source):
    folder, _ = source
    (folder / "set.cu").write_bytes(b"nonsense")
    with pytest.raises(nvrtc.CudaError, match=r"set\.cu does not compile \(.*sm_90.*\): .*error"):
        compile_again()
