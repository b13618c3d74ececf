"""The lane-parallel scan against the plain one. Its kernels run only on a GPU."""

import importlib.util
from dataclasses import dataclass

import pytest
import torch

if importlib.util.find_spec("cuda") is None:
    pytest.skip(
        "cuda-bindings is not installed: the lane-parallel scan is NOT tested here",
        allow_module_level=True,
    )

from vfimamba_cli.ops import nvrtc
from vfimamba_cli.ops.scan import lanes, lanes_cuts
from vfimamba_cli.ops.scan.lanes_reference import ss2d_core_reference

SIZES = [(1, 7), (7, 1), (17, 9), (34, 60), (46, 80), (135, 240)]
CUTS = [  # warps, rows, team, span, paired
    (16, 2, 4, 16, True),
    (16, 2, 2, 16, True),
    (16, 2, 1, 16, True),
    (4, 2, 1, 16, True),
    (2, 1, 1, 16, False),
    (16, 2, 4, 16, False),
    (8, 2, 2, 32, True),
    (8, 2, 2, 32, False),
    (8, 1, 2, 32, False),
]
TOLERANCE = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 4e-2}


@dataclass(frozen=True)
class Case:
    v: torch.Tensor
    arguments: dict

    def run(self, *, exact, cut=None):
        weights = lanes.prepare_weights(**self.arguments, dtype=self.v.dtype)
        return lanes.ss2d_core(self.v, weights, exact_columns=exact, cut=cut)

    def reference(self, *, exact):
        return ss2d_core_reference(self.v, **self.arguments, exact_columns=exact)


def case(height, width, *, batch=1, channels=32, rank=3, states=16, dtype=torch.float32):
    generator = torch.Generator("cuda").manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=generator, device="cuda")

    both = normal(2, batch, height, width, 2 * channels).to(dtype)
    projection = normal(4, rank + 2 * states, channels) * channels**-0.5
    arguments = {
        "conv_weight": normal(channels, 1, 3, 3) / 3,
        "conv_bias": normal(channels),
        "x_proj_weight": projection.to(dtype).float(),
        "A": -torch.exp(normal(4, channels, states)),
        "D": normal(4, channels),
        "dt_weight": 0.5 * normal(4, channels, rank),
        "dt_bias": normal(4, channels) - 2,
    }
    return Case(both[..., :channels], arguments)


def assert_near(actual, expected, tolerance):
    assert torch.isfinite(actual).all()
    off = (actual.float() - expected.float()).abs().max() / expected.abs().max()
    assert off.item() <= tolerance


@pytest.mark.gpu
@pytest.mark.parametrize("exact", [True, False], ids=["exact", "published"])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("size", SIZES)
def test_result_is_the_reference(size, dtype, exact):
    inputs = case(*size, dtype=dtype)
    actual = inputs.run(exact=exact)
    assert actual.dtype == dtype
    assert_near(actual, inputs.reference(exact=exact), TOLERANCE[dtype])


@pytest.mark.gpu
@pytest.mark.parametrize("exact", [True, False], ids=["exact", "published"])
@pytest.mark.parametrize(("warps", "rows", "team", "span", "paired"), CUTS)
def test_samples_and_cuts_change_nothing(warps, rows, team, span, paired, exact):
    inputs = case(17, 29, batch=2, channels=44, rank=5)
    cut = lanes.Cut(warps=warps, rows=rows, team=team, span=span, paired=paired)
    assert_near(inputs.run(exact=exact, cut=cut), inputs.reference(exact=exact), 1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize(("channels", "rank"), [(256, 8), (512, 16), (1024, 32)])
def test_sizes_of_the_networks(channels, rank):
    inputs = case(34, 60, channels=channels, rank=rank, dtype=torch.float16)
    assert_near(inputs.run(exact=False), inputs.reference(exact=False), 5e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("states", [1, 2, 4, 8])
def test_number_of_states_is_free(states):
    inputs = case(9, 40, states=states)
    assert_near(inputs.run(exact=True), inputs.reference(exact=True), 1e-4)


@pytest.mark.gpu
def test_result_is_bit_identical_from_run_to_run():
    inputs = case(68, 120, channels=256, rank=8, dtype=torch.float16)
    first = inputs.run(exact=False)
    for _ in range(5):
        assert torch.equal(first, inputs.run(exact=False))


@pytest.mark.gpu
def test_small_steps_keep_their_digits():
    inputs = case(1, 3, channels=16)
    inputs.arguments["dt_bias"] = torch.linspace(-12, 25, 64, device="cuda").view(4, 16)
    inputs.arguments["dt_weight"] = torch.zeros_like(inputs.arguments["dt_weight"])
    inputs.arguments["A"] = inputs.arguments["A"] * 1e-3
    inputs.arguments["D"] = torch.zeros_like(inputs.arguments["D"])
    truth, y = inputs.reference(exact=True), inputs.run(exact=True)
    largest = truth.abs().amax((0, 1, 2, 3))
    assert ((y - truth).abs().amax((0, 1, 2, 3)) <= 3e-5 * largest).all()


@pytest.mark.gpu
def test_it_can_be_captured_in_a_graph():
    inputs = case(17, 9)
    weights = lanes.prepare_weights(**inputs.arguments, dtype=inputs.v.dtype)
    expected = lanes.ss2d_core(inputs.v, weights, exact_columns=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        actual = lanes.ss2d_core(inputs.v, weights, exact_columns=True)
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(actual, expected)


@pytest.mark.gpu
def test_this_gpu_can_run_it():
    assert lanes.failure(torch.device("cuda", torch.cuda.current_device())) is None


def test_without_a_gpu_it_says_what_it_needs():
    assert "NVIDIA GPU" in lanes.failure(torch.device("cpu"))


@pytest.mark.parametrize("kind", lanes.TYPES.values())
def test_sources_compile_without_cuda_headers_or_gpu(kind):
    cut = {"WARPS": 8, "ROWS": 2, "TEAM": 2, "SPAN": 16, "PAIRED": 1}
    scan = {"TYPE": kind, "N": 16, "RANK": 8} | cut
    convolve = {"TYPE": kind, "ALONG_H": 2, "ALONG_W": 4, "ALIGNED": 1}
    merge = convolve | {"EXACT": 0, "TALL": 32, "WIDE": 32, "SHEETS": 16}
    assert nvrtc.compiled("scan/lanes.cu", tuple(scan.items()), "sm_90")
    assert nvrtc.compiled("scan/planes.cu", tuple(convolve.items()), "sm_80")
    assert nvrtc.compiled("scan/planes.cu", tuple(merge.items()), "sm_80")


@pytest.mark.parametrize("limit", [99 * 1024, 227 * 1024])
@pytest.mark.parametrize("rank", [1, 8, 16, 32])
def test_cut_fits_the_gpu(rank, limit, monkeypatch):
    monkeypatch.setattr(lanes_cuts, "shared_limit", lambda _: limit)
    cut = lanes.Cut.for_size(16, rank, 0)
    assert cut.shared(16, rank) <= limit


def test_a_source_that_does_not_compile_says_why():
    with pytest.raises(
        nvrtc.CudaError, match=r"scan/planes\.cu does not compile \(.*sm_80.*\): .*error"
    ):
        nvrtc.compiled("scan/planes.cu", (("TYPE", "nothing to see"),), "sm_80")


def test_other_layouts_are_refused():
    weights = lanes.prepare_weights(
        conv_weight=torch.ones(8, 3, 3),
        conv_bias=torch.ones(8),
        x_proj_weight=torch.ones(4, 34, 8),
        A=-torch.ones(4, 8, 16),
        D=torch.ones(4, 8),
        dt_weight=torch.ones(4, 8, 2),
        dt_bias=torch.ones(4, 8),
        dtype=torch.float32,
    )
    v = torch.ones(2, 1, 3, 5, 16)
    with pytest.raises(ValueError, match="channels last"):
        lanes.ss2d_core(v[..., ::2], weights, exact_columns=True)
    with pytest.raises(ValueError, match=r"not \(2, B, H, W, 8\)"):
        lanes.ss2d_core(v, weights, exact_columns=True)
    with pytest.raises(ValueError, match="float16"):
        lanes.ss2d_core(v[..., :8].half(), weights, exact_columns=True)
