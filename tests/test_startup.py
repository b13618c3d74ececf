"""What a start leaves out: PyTorch's compiler alone takes longer to load than all that it needs."""

import gc
import importlib.util
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import vfimamba_cli.cli.loading
from vfimamba_cli.cli.loading import loading, rouse_gpu

COMPILER = "{'torch._dynamo', 'torch._inductor', 'torch.fx.experimental.symbolic_shapes', 'sympy'}"
ON_CPU, ON_GPU = '"cpu", scan="chunked"', '"cuda"'
ONE_FRAME = """
import torch
from vfimamba_cli.checkpoint.load import load_model
from vfimamba_cli.engine.interpolator import Interpolator

engine = Interpolator(load_model("vfimamba-s"), device={device})
engine.interpolate(torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32), [0.5])
"""
GPU_MODULES = """
import vfimamba_cli.engine.graphs
import vfimamba_cli.model.fused.network
import vfimamba_cli.ops.scan.lanes
import vfimamba_cli.ops.scan.triton
import vfimamba_cli.ops.warp_triton
"""
CONVOLUTION = """
import torch
x = torch.zeros(1, 16, 8, 8, device="cuda", dtype=torch.half)
w = torch.zeros(16, 16, 3, 3, device="cuda", dtype=torch.half)
print(torch.conv2d(x, w).sum().item(), flush=True)
"""

DEMO = Path(__file__).parent / "media" / "demo.mp4"
DRY_RUN = f"""
import gc
from vfimamba_cli.cli.app import app
app(["interpolate", {str(DEMO)!r}, "--dry-run"], standalone_mode=False)
assert gc.isenabled()
assert gc.get_freeze_count() > 100_000
"""


def compiler_after(code):
    """What of PyTorch's compiler is loaded once `code` has run in a fresh process."""
    code += f"\nimport sys\nprint(*sorted({COMPILER} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("device", [ON_CPU, pytest.param(ON_GPU, marks=pytest.mark.gpu)])
def test_making_a_frame_loads_no_compiler(device):
    assert compiler_after(ONE_FRAME.format(device=device)) == []


@pytest.mark.gpu
def test_lanes_are_chosen_without_the_scan_that_training_runs_on():
    code = ONE_FRAME.format(device=ON_GPU)
    code += "assert engine.backend.name == 'lanes'\n"
    code += "import sys; assert 'vfimamba_cli.ops.scan.triton' not in sys.modules"
    assert compiler_after(code) == []


@pytest.mark.gpu
def test_the_first_made_frame_comes_within_twice_what_pytorch_takes_for_a_convolution():
    command = [sys.executable, "-m", "vfimamba_cli", "interpolate", str(DEMO), "--end", "0.2"]
    command += ["-o", "-", "--container", "y4m"]
    seconds, alone = [], []
    for _ in range(5):  # the first compiles kernels; in turn, since others may use the machine
        seconds.append(seconds_to_first_made_frame(command))
        alone.append(seconds_to_a_convolution())
    assert min(seconds) <= 2 * min(alone), (seconds, alone)


def seconds_to_first_made_frame(command):
    """From starting a process to the second picture of its y4m, which is the first it makes."""
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        header = process.stdout.readline()
        width, height = (int(re.search(rb" %c(\d+)" % c, header)[1]) for c in b"WH")
        picture = len(b"FRAME\n") + width * height * 3 // 2
        assert len(process.stdout.read(2 * picture)) == 2 * picture
        seconds = time.monotonic() - began
        process.stdout.read()
    assert process.returncode == 0
    return seconds


def seconds_to_a_convolution():
    """From starting Python to what it prints of one on the GPU: hosts differ by half."""
    began = time.monotonic()
    command = [sys.executable, "-c", CONVOLUTION]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"0.0\n"
        seconds = time.monotonic() - began
    assert process.returncode == 0
    return seconds


def test_the_modules_for_a_gpu_load_no_compiler():
    if any(importlib.util.find_spec(name) is None for name in ("triton", "cuda")):
        pytest.skip("Triton or cuda-bindings is not installed: its start is NOT tested here")
    assert compiler_after(GPU_MODULES) == []


def test_the_garbage_collector_does_not_look_through_what_is_loaded():
    assert subprocess.run([sys.executable, "-c", DRY_RUN], capture_output=True).returncode == 0


def test_where_pytorch_is_loaded_already_the_garbage_collector_is_left_alone():
    __import__("torch")
    before = gc.get_freeze_count()
    with loading("auto"):
        assert gc.isenabled()
    assert gc.get_freeze_count() == before


class Driver:
    """NVIDIA's, as far as it is asked for; `result` is what its start gives back."""

    def __init__(self, result):
        self.result, self.started, self.retained = result, 0, []

    def cuInit(self, flags):  # noqa: N802 - its name
        self.started += 1
        return self.result

    def cuDevicePrimaryCtxRetain(self, context, number):  # noqa: N802 - its name
        self.retained.append(number)
        return 0


@pytest.mark.parametrize(("result", "times"), [(0, 1), (100, 0)])  # 100: there is no GPU
def test_a_gpu_and_triton_get_ready_where_there_is_a_gpu(monkeypatch, result, times):
    driver, seen = Driver(result), []
    trial = SimpleNamespace(fingerprint=lambda: seen.append("triton"))
    monkeypatch.setattr("ctypes.CDLL", lambda _: driver)
    monkeypatch.setitem(sys.modules, "vfimamba_cli.ops.triton_trial", trial)
    rouse_gpu(2)
    assert (driver.started, driver.retained, len(seen)) == (1, [2] * times, times)


@pytest.mark.parametrize(
    ("device", "number"), [("auto", 0), ("cuda", 0), ("cuda:3", 3), ("cuda:x", 0), ("cpu", None)]
)
def test_the_gpu_that_gets_ready_is_the_one_asked_for(monkeypatch, device, number):
    seen = []
    monkeypatch.setattr(vfimamba_cli.cli.loading, "rouse_gpu", seen.append)
    monkeypatch.delitem(sys.modules, "torch")
    with loading(device):
        pass
    gc.unfreeze()
    assert seen == [number] * (number is not None)


def test_without_a_driver_or_triton_nothing_happens(monkeypatch):
    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("ctypes.CDLL", missing)
    rouse_gpu(0)
    monkeypatch.setattr("ctypes.CDLL", lambda _: Driver(0))
    monkeypatch.setitem(sys.modules, "vfimamba_cli.ops.triton_trial", None)
    rouse_gpu(0)


def test_triton_remembers_its_hash():
    module = pytest.importorskip("vfimamba_cli.ops.triton_trial", reason="no Triton to be hashed")
    from triton.runtime.cache import triton_key

    triton_key.cache_clear()
    module.fingerprint()
    module.fingerprint()
    assert triton_key.cache_info()[:2] == (1, 1)
