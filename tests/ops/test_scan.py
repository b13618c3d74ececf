"""Every scan backend against the loop that defines the scan."""

import math
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vfimamba_cli.errors import DeviceError, OptionError
from vfimamba_cli.ops.scan import BACKENDS, choose_backend, chunked, reference, selective_scan

CPU = torch.device("cpu")
ABLE = [backend for backend in BACKENDS if backend.obstacle(CPU) is None]
NAMED = {backend.name: backend for backend in BACKENDS}


@pytest.fixture(autouse=True)
def _uninitialized_memory_is_nan():
    """What a backend forgets to write shows up as NaN."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)


def scan_inputs(batch, orders, channels, states, length, dtype=torch.float32):
    """Random inputs by name; dt is about 0.01 to 3 after bias and softplus."""
    return {
        "u": torch.randn(batch, orders, channels, length).to(dtype),
        "dt": torch.randn(batch, orders, channels, length).to(dtype),
        "A": -torch.exp(torch.randn(orders, channels, states)),
        "B": torch.randn(batch, orders, states, length).to(dtype),
        "C": torch.randn(batch, orders, states, length).to(dtype),
        "D": torch.randn(orders, channels),
        "dt_bias": torch.randn(orders, channels) - 1,
    }


def with_gradients(inputs):
    return {name: x.detach().clone().requires_grad_() for name, x in inputs.items()}


def assert_near(actual, expected, tolerance):
    """Largest difference within `tolerance` of the largest value, and of 1."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    limit = tolerance * max(1.0, expected.abs().max().item())
    torch.testing.assert_close(actual, expected, rtol=0, atol=limit)


def assert_same_gradients(scan, inputs, tolerance):
    ours, truth = with_gradients(inputs), with_gradients(inputs)
    y, expected = scan(**ours), reference.selective_scan(**truth)
    assert_near(y.detach(), expected.detach(), tolerance)
    grad = torch.randn_like(expected)
    y.backward(grad)
    expected.backward(grad)
    for name, x in ours.items():
        assert_near(x.grad, truth[name].grad, tolerance)


def test_the_reference_is_the_recurrence_worked_out_by_hand():
    dt = math.log1p(math.e)  # softplus(0.5 + 0.5)
    y = reference.selective_scan(
        u=torch.tensor([[[[2.0, 3.0]]]]),
        dt=torch.tensor([[[[0.5, 0.5]]]]),
        A=torch.tensor([[[-0.7]]]),
        B=torch.tensor([[[[1.5, -1.0]]]]),
        C=torch.tensor([[[[4.0, 0.5]]]]),
        D=torch.tensor([[10.0]]),
        dt_bias=torch.tensor([[0.5]]),
    )
    h0 = dt * 1.5 * 2
    h1 = math.exp(-0.7 * dt) * h0 - dt * 3
    torch.testing.assert_close(y, torch.tensor([[[[4 * h0 + 20, 0.5 * h1 + 30]]]]))


@pytest.mark.parametrize("backend", ABLE, ids=lambda b: b.name)
@pytest.mark.parametrize("length", [1, 63, 100, 257])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float16, 5e-3)], ids=["fp32", "fp16"]
)
def test_every_backend_matches_the_reference(backend, length, dtype, tolerance):
    inputs = scan_inputs(2, 4, 6, 16, length, dtype)
    with torch.no_grad():
        y = selective_scan(**inputs, backend=backend)
        assert_near(y, reference.selective_scan(**inputs), tolerance)
    if backend.differentiable:
        assert_same_gradients(backend.load(), inputs, tolerance)


@pytest.mark.parametrize("backend", ABLE, ids=lambda b: b.name)
@pytest.mark.parametrize(("channels", "states"), [(1, 1), (64, 16), (70, 5), (130, 8)])
def test_any_number_of_channels_and_states(backend, channels, states):
    inputs = scan_inputs(1, 2, channels, states, 77)
    y = selective_scan(**inputs, backend=backend)
    assert_near(y, reference.selective_scan(**inputs), 1e-4)


@pytest.mark.parametrize("backend", ABLE, ids=lambda b: b.name)
@pytest.mark.parametrize("bias", [-200.0, -30.0, -8.0, 30.0, 1000.0])
def test_extreme_steps_stay_exact(backend, bias):
    """From a state that is never touched to one that is forgotten at every token."""
    inputs = scan_inputs(1, 2, 20, 16, 300)
    inputs["dt_bias"] = torch.full_like(inputs["dt_bias"], bias)
    y = selective_scan(**inputs, backend=backend)
    assert_near(y, reference.selective_scan(**inputs), 1e-5)


@pytest.mark.parametrize("backend", ABLE, ids=lambda b: b.name)
def test_errors_do_not_add_up_over_a_long_sequence(backend):
    """A state that remembers thousands of tokens: every decay is just below 1."""
    inputs = scan_inputs(1, 1, 8, 4, 8000)
    inputs["A"] = torch.full_like(inputs["A"], -0.01)
    inputs["dt_bias"] = torch.full_like(inputs["dt_bias"], -3.0)
    inputs["dt"] = 0.1 * inputs["dt"]
    inputs["u"] = 1 + inputs["u"]
    inputs["B"] = 1 + 0.1 * inputs["B"]
    inputs["C"] = 1 + 0.1 * inputs["C"]
    y = selective_scan(**inputs, backend=backend)
    exact = reference.selective_scan(**{name: x.double() for name, x in inputs.items()})
    assert exact.abs().max() > 100
    assert_near(y, exact.float(), 2e-5)


@pytest.mark.parametrize("backend", ABLE, ids=lambda b: b.name)
def test_a_second_run_is_bit_identical(backend):
    inputs = scan_inputs(1, 4, 70, 16, 200)
    first = selective_scan(**inputs, backend=backend)
    assert torch.equal(first, selective_scan(**inputs, backend=backend))


@pytest.mark.parametrize("backend", ABLE, ids=lambda b: b.name)
def test_strided_inputs_are_read_right(backend):
    inputs = scan_inputs(2, 4, 6, 16, 40)
    strided = {n: x.transpose(-1, -2).contiguous().transpose(-1, -2) for n, x in inputs.items()}
    y = selective_scan(**strided, backend=backend)
    assert_near(y, reference.selective_scan(**inputs), 1e-4)


@pytest.mark.parametrize("backend", ABLE, ids=lambda b: b.name)
def test_autocast_does_not_reach_inside(backend):
    inputs = scan_inputs(1, 2, 6, 16, 50)
    expected = selective_scan(**inputs, backend=backend)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(selective_scan(**inputs, backend=backend), expected)


# chunked


@pytest.mark.parametrize(("steps", "segment"), [(1, 1), (8, 3), (17, 5), (100, 10), (300, 32)])
def test_chunked_is_the_same_however_it_is_cut(monkeypatch, steps, segment):
    monkeypatch.setattr(chunked, "_steps", lambda u, states: steps)
    monkeypatch.setattr(chunked, "_segment_length", lambda state, steps, device: segment)
    assert_same_gradients(chunked.selective_scan, scan_inputs(2, 2, 5, 4, 100), 1e-4)


@pytest.mark.parametrize("steps", [3, 10])
def test_chunked_gradients_are_those_of_finite_differences(monkeypatch, steps):
    monkeypatch.setattr(chunked, "_steps", lambda u, states: steps)
    inputs = {name: x.double() for name, x in scan_inputs(1, 2, 2, 3, 7).items()}
    assert torch.autograd.gradcheck(
        lambda *args: chunked.selective_scan(*args), tuple(with_gradients(inputs).values())
    )


class _LargestTensor(TorchDispatchMode):
    """Remembers the most elements that any tensor made under it had storage for."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = result if isinstance(result, (tuple, list)) else (result,)
        for x in tensors:
            if isinstance(x, torch.Tensor):
                size = x.untyped_storage().nbytes() // x.element_size()
                self.elements = max(self.elements, size)
        return result


def test_chunked_never_holds_every_state():
    batch, orders, channels, states, length = 1, 2, 32, 16, 8192
    inputs = with_gradients(scan_inputs(batch, orders, channels, states, length))
    everything = batch * orders * channels * states * length
    saved = []
    with (
        _LargestTensor() as made,
        torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x),
    ):
        chunked.selective_scan(**inputs).sum().backward()
    assert 0 < made.elements <= everything // 8
    assert sum(x.numel() for x in saved) <= everything // 4


# cpu


def test_cpu_says_that_it_has_no_gradients():
    inputs = with_gradients(scan_inputs(1, 1, 4, 4, 10))
    with pytest.raises(ValueError, match="no gradients: use 'chunked'"):
        selective_scan(**inputs, backend=NAMED["cpu"])


def test_cpu_can_be_called_from_several_threads_at_once():
    inputs = [scan_inputs(1, 2, 70, 16, 300) for _ in range(4)]
    scan = NAMED["cpu"].load()
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda x: scan(**x), inputs))
    for x, y in zip(inputs, results, strict=True):
        assert torch.equal(y, scan(**x))


def test_cpu_compiles_without_a_folder_for_its_cache():
    """A function with no source file has no folder either, like a read-only installation."""
    from vfimamba_cli.ops.scan import cpu

    namespace = {}
    exec("def double(x):\n    return 2 * x", namespace)
    assert cpu.compiled(namespace["double"])(21) == 42


# mamba_cuda, on a stand-in for its extension that insists on the kernels' layout


def _check_layout(u, delta, A, B, C, D, z, delta_bias, softplus):
    batch, rows, length = u.shape
    assert delta.shape == u.shape
    assert delta.dtype == B.dtype == C.dtype == u.dtype
    assert A.dtype == D.dtype == delta_bias.dtype == torch.float32
    assert len(A) == rows
    assert B.shape == C.shape == (batch, B.shape[1], A.shape[1], length)
    assert D.shape == delta_bias.shape == (rows,)
    assert all(x.is_contiguous() for x in (u, delta, A, B, C, D, delta_bias))
    assert z is None
    assert softplus is True


def _reference_in_their_layout(u, delta, A, B, C, D, delta_bias):
    orders = B.shape[1]
    channels_apart = [x.unflatten(1, (orders, -1)) for x in (u, delta)]
    rows_apart = [x.unflatten(0, (orders, -1)) for x in (A, D, delta_bias)]
    A, D, delta_bias = rows_apart
    return reference.selective_scan(*channels_apart, A, B, C, D, delta_bias).flatten(1, 2)


def _fake_fwd(u, delta, A, B, C, D, z, delta_bias, softplus):
    _check_layout(u, delta, A, B, C, D, z, delta_bias, softplus)
    assert not torch.is_autocast_enabled("cpu")
    y = _reference_in_their_layout(u, delta, A, B, C, D, delta_bias).to(u.dtype)
    chunks = math.ceil(u.shape[-1] / 2048)
    return [y, torch.zeros(*u.shape[:2], chunks, 2 * A.shape[1])]


def _fake_bwd(u, delta, A, B, C, D, z, delta_bias, dout, x, out, dz, softplus, recompute_out_z):
    _check_layout(u, delta, A, B, C, D, z, delta_bias, softplus)
    assert dout.shape == u.shape
    assert dout.dtype == u.dtype
    assert dout.stride(-1) == 1
    assert x.is_contiguous()
    assert x.shape == (*u.shape[:2], math.ceil(u.shape[-1] / 2048), 2 * A.shape[1])
    assert x.dtype == torch.float32
    assert out is dz is None
    assert recompute_out_z is False
    inputs = [t.detach().requires_grad_() for t in (u, delta, A, B, C, D, delta_bias)]
    with torch.enable_grad():
        y = _reference_in_their_layout(*inputs)
        return list(torch.autograd.grad(y, inputs, dout.float()))


@pytest.fixture
def kernels(monkeypatch):
    """A stand-in `selective_scan_cuda` in `sys.modules`."""
    from vfimamba_cli.ops.scan import mamba_cuda

    module = ModuleType("selective_scan_cuda")
    module.__spec__ = ModuleSpec("selective_scan_cuda", None)
    module.fwd, module.bwd = _fake_fwd, _fake_bwd
    monkeypatch.setitem(sys.modules, "selective_scan_cuda", module)
    trial = mamba_cuda.failure
    trial.cache_clear()
    yield module
    trial.cache_clear()


@pytest.fixture
def no_triton(monkeypatch):
    """As where Triton is not installed."""
    monkeypatch.setitem(sys.modules, "triton", None)


@pytest.fixture
def fused(monkeypatch):
    """A stand-in for the Triton scan, whose trial run goes well."""
    installed = ModuleType("triton")
    installed.__spec__ = ModuleSpec("triton", None)
    monkeypatch.setitem(sys.modules, "triton", installed)
    module = ModuleType("vfimamba_cli.ops.scan.triton")
    module.failure = lambda device: None
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 1e-5), (torch.float16, 5e-3), (torch.bfloat16, 3e-2)],
    ids=["fp32", "fp16", "bf16"],
)
def test_mamba_cuda_hands_over_what_its_kernels_want(kernels, dtype, tolerance):
    inputs = scan_inputs(2, 4, 6, 16, 30, dtype)
    assert_same_gradients(NAMED["mamba_cuda"].load(), inputs, tolerance)


@pytest.mark.parametrize("orders", [1, 4])
def test_mamba_cuda_makes_strided_and_mixed_inputs_fit(kernels, orders):
    inputs = scan_inputs(2, orders, 6, 16, 30)
    inputs = {n: x.transpose(-1, -2).contiguous().transpose(-1, -2) for n, x in inputs.items()}
    inputs["u"] = inputs["u"].half()
    with torch.autocast("cpu", torch.bfloat16):
        y = NAMED["mamba_cuda"].load()(**inputs)
    assert_near(y, reference.selective_scan(**inputs), 5e-3)


def test_mamba_cuda_makes_an_expanded_gradient_fit(kernels):
    inputs = with_gradients(scan_inputs(2, 1, 6, 16, 30))
    NAMED["mamba_cuda"].load()(**inputs).sum().backward()
    assert inputs["u"].grad.isfinite().all()


def test_mamba_cuda_is_tried_once_before_it_is_trusted(kernels):
    from vfimamba_cli.ops.scan import mamba_cuda

    assert mamba_cuda.failure(CPU) is None
    kernels.fwd = None  # a second trial would fail
    assert mamba_cuda.failure(CPU) is None


def test_mamba_cuda_without_kernels_for_this_gpu_says_so(kernels):
    from vfimamba_cli.ops.scan import mamba_cuda

    def fwd(*args):
        raise RuntimeError("no kernel image is available for execution on the device\nmore")

    kernels.fwd = fwd
    assert mamba_cuda.failure(CPU) == (
        "needs selective_scan_cuda to work, but a trial run failed: "
        "no kernel image is available for execution on the device"
    )


# the choice


def test_auto_takes_the_compiled_loop_on_a_cpu():
    assert choose_backend("auto", CPU).name == "cpu"


def test_auto_takes_a_differentiable_backend_for_training():
    assert choose_backend("auto", CPU, training=True).name == "chunked"


@pytest.mark.parametrize("training", [True, False])
def test_auto_takes_the_fused_kernels_on_a_gpu_where_they_run(fused, kernels, training):
    assert choose_backend("auto", torch.device("cuda"), training=training).name == "triton"


def test_sequences_are_not_for_kernels_that_scan_feature_maps(fused, monkeypatch):
    monkeypatch.setitem(sys.modules, "selective_scan_cuda", None)
    gpu = torch.device("cuda")
    assert choose_backend("auto", gpu, sequences=True).name == "chunked"
    with pytest.raises(DeviceError, match="'triton' cannot run here: it scans whole feature maps"):
        choose_backend("triton", gpu, sequences=True)


def test_fused_kernels_that_failed_their_trial_are_passed_over(fused, monkeypatch):
    monkeypatch.setitem(sys.modules, "selective_scan_cuda", None)
    fused.failure = lambda device: "needs a C compiler"
    gpu = torch.device("cuda")
    assert choose_backend("auto", gpu).name == "chunked"
    with pytest.raises(DeviceError, match="'triton' cannot run here: it needs a C compiler"):
        choose_backend("triton", gpu)


def test_a_triton_that_cannot_be_imported_says_so(monkeypatch):
    broken = ModuleType("triton")
    broken.__spec__ = ModuleSpec("triton", None)
    monkeypatch.setitem(sys.modules, "triton", broken)
    monkeypatch.setitem(sys.modules, "triton.language", None)
    monkeypatch.setitem(sys.modules, "vfimamba_cli.ops.triton_trial", None)
    monkeypatch.delitem(sys.modules, "vfimamba_cli.ops.scan.triton", raising=False)
    with pytest.raises(DeviceError, match="it needs the module triton, whose import failed"):
        choose_backend("triton", torch.device("cuda"))


def test_auto_takes_chunked_on_a_gpu_without_mamba(no_triton, monkeypatch):
    monkeypatch.setitem(sys.modules, "selective_scan_cuda", None)
    assert choose_backend("auto", torch.device("cuda")).name == "chunked"


def test_kernels_that_failed_their_trial_are_passed_over_but_not_in_silence(
    no_triton, kernels, monkeypatch
):
    from vfimamba_cli.ops.scan import mamba_cuda

    monkeypatch.setattr(mamba_cuda, "failure", lambda device: "needs a newer GPU")
    gpu = torch.device("cuda")
    assert choose_backend("auto", gpu).name == "chunked"
    with pytest.raises(DeviceError, match="'mamba_cuda' cannot run here: it needs a newer GPU"):
        choose_backend("mamba_cuda", gpu)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_kernels_on_a_machine_without_a_gpu_are_not_tried(kernels):
    with pytest.raises(DeviceError, match="it needs a CUDA device, and PyTorch finds none"):
        choose_backend("mamba_cuda", torch.device("cuda"))


@pytest.mark.parametrize("name", ["cpu", "chunked", "reference"])
def test_a_backend_asked_for_by_name_is_taken(name):
    assert choose_backend(name, CPU).name == name


@pytest.mark.parametrize(
    ("name", "device", "training", "reason"),
    [
        ("mamba_cuda", "cpu", False, "it needs a CUDA device, not cpu"),
        ("triton", "cpu", False, "it needs a CUDA device, not cpu"),
        ("cpu", "cuda", False, "it needs a CPU device, not cuda"),
        ("cpu", "cpu", True, "it has no gradients"),
    ],
)
def test_a_named_backend_that_cannot_run_is_never_replaced(name, device, training, reason):
    with pytest.raises(DeviceError, match=f"Scan backend '{name}' cannot run here: {reason}") as e:
        choose_backend(name, torch.device(device), training=training)
    assert "chunked" in e.value.hint


@pytest.mark.parametrize(
    ("name", "module"), [("mamba_cuda", "selective_scan_cuda"), ("triton", "triton")]
)
def test_a_named_backend_says_which_module_is_missing(name, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DeviceError, match=f"it needs the module {module}, which is not"):
        choose_backend(name, torch.device("cuda"))


def test_an_unknown_backend_is_told_the_known_ones():
    with pytest.raises(OptionError, match="no scan backend 'fast'") as e:
        choose_backend("fast", CPU)
    assert e.value.hint == f"Choose one of auto, {', '.join(NAMED)}"
