"""The fused network's kernels against plain PyTorch; without a GPU in Triton's interpreter."""

import pytest
import torch
import torch.nn.functional as F

from tests.ops.interpreted import ON_GPU, kernels_of, quiet
from vfimamba_cli.ops.resize import resize, resize_flow
from vfimamba_cli.ops.warp import warp

DEVICE = torch.device("cuda" if ON_GPU else "cpu")

pytestmark = quiet


@pytest.fixture(scope="module")
def kernels():
    """Imports a module of kernels; they are interpreted where there is no GPU."""
    with kernels_of("the fused kernels are") as load:
        yield lambda name: load(f"fused.{name}")


def normal(*shape):
    return torch.randn(shape, device=DEVICE)


def flow_of(*shape):
    """(B, 4, H, W) with channels last in memory, some of it pointing outside."""
    batch, rows, columns = shape
    return (3 * normal(batch, rows, columns, 4)).permute(0, 3, 1, 2)


def near(actual, expected, tolerance=1e-5):
    torch.testing.assert_close(actual.float(), expected, rtol=tolerance, atol=tolerance)


def both_warped(frames, flow, **corner):
    return [warp(frames[i], flow[:, 2 * i : 2 * i + 2], **corner) for i in range(2)]


@pytest.mark.parametrize("shrink", [1, 2, 4])
@pytest.mark.parametrize("slots", [24, 32])
def test_planes_are_pictures_and_motion_side_by_side(kernels, shrink, slots):
    pictures = kernels("motion")
    frames, flow, mask = normal(2, 2, 3, 16, 24), flow_of(2, 16, 24), normal(2, 1, 16, 24)
    time = torch.tensor([0.25, 0.75], device=DEVICE)
    wide = torch.full((2, 16 // shrink, 24 // shrink, slots + 8), 7.0, device=DEVICE)
    pictures.planes(frames, flow, mask, time, wide[..., :slots], shrink=shrink)
    parts = {
        "first": frames[0],
        "second": frames[1],
        **dict(zip(("warped_first", "warped_second"), both_warped(frames, flow), strict=True)),
        "mask": mask,
        "time": time.view(-1, 1, 1, 1).expand(-1, 1, 16, 24),
    }
    parts = {name: resize(part, 1 / shrink) for name, part in parts.items()}
    parts["flow"] = resize_flow(flow, 1 / shrink)
    used = []
    for name, part in parts.items():
        places = [pictures.channel_of(name, i) for i in range(part.shape[1])]
        near(wide[..., places].permute(0, 3, 1, 2), part)
        used += places
    rest = [i for i in range(slots) if i not in used]
    assert wide[..., rest].abs().max() == 0
    assert (wide[..., slots:] == 7).all()  # what lies beside is not touched


def test_planes_without_motion(kernels):
    pictures = kernels("motion")
    frames, time = normal(2, 2, 3, 16, 24), torch.tensor([0.25, 0.75], device=DEVICE)
    out = torch.full((2, 4, 6, 8), 7.0, device=DEVICE)
    pictures.planes(frames, None, None, time, out, shrink=4)
    for i, name in enumerate(("first", "second")):
        places = [pictures.channel_of_frames(name, c) for c in range(3)]
        near(out[..., places].permute(0, 3, 1, 2), resize(frames[i], 0.25))
    near(out[..., pictures.channel_of_frames("time", 0)], time.view(2, 1, 1).expand(2, 4, 6))


def test_planes_of_a_part_see_the_whole_frames(kernels):
    pictures = kernels("motion")
    frames, flow, mask = normal(2, 1, 3, 16, 24), flow_of(1, 16, 24), normal(1, 1, 16, 24)
    whole, part = torch.empty(1, 16, 24, 24, device=DEVICE), torch.empty(1, 8, 9, 24, device=DEVICE)
    time = torch.zeros(1, device=DEVICE)
    pictures.planes(frames, flow, mask, time, whole)
    cut = (slice(None), slice(None), slice(5, 13), slice(7, 16))
    pictures.planes(frames, flow[cut], mask[cut], time, part, top=5, left=7)
    near(part, whole[:, 5:13, 7:16])


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("first", [True, False])
def test_a_change_is_enlarged_and_added(kernels, scale, first):
    change = normal(2, 5, 7, 8)
    flow, mask = flow_of(2, 5 * scale, 7 * scale), normal(2, 1, 5 * scale, 7 * scale)
    before = (None, None) if first else (flow, mask)
    new_flow, new_mask = kernels("motion").add_change(change, *before, scale=scale)
    grown = resize(change.permute(0, 3, 1, 2), scale)
    near(new_flow, grown[:, :4] * scale + (0 if first else flow))
    near(new_mask, grown[:, 4:5] + (0 if first else mask))


def test_flow_is_halved_with_its_vectors(kernels):
    flow = flow_of(2, 12, 20)
    near(kernels("motion").halve_flow(flow), resize_flow(flow, 0.5))
    part = flow[..., 4:10, 2:16]
    near(kernels("motion").halve_flow(part), resize_flow(part, 0.5))


@pytest.mark.parametrize("channels", [16, 64])
def test_features_are_warped_into_their_place(kernels, channels):
    features, flow = normal(4, 9, 11, channels), flow_of(2, 4, 5)
    out = torch.zeros(2, 4, 5, 2 * channels + 8, device=DEVICE)
    kernels("warping").warp_features(features, flow, out[..., 8:], top=3, left=2)
    maps = features.permute(0, 3, 1, 2).unflatten(0, (2, 2))
    expected = torch.cat(both_warped(maps, flow, top=3, left=2), dim=1)
    near(out[..., 8:].permute(0, 3, 1, 2), expected)
    assert (out[..., :8] == 0).all()


def test_a_picture_is_blended_and_held_to_its_frames(kernels):
    frames = torch.rand(2, 2, 3, 9, 11, device=DEVICE) * 1.2 - 0.1
    flow, mask, residual = flow_of(2, 4, 5), normal(2, 1, 4, 5), 4 * normal(2, 4, 5, 4)
    made = kernels("warping").blend(frames, flow, mask, residual, top=3, left=2)
    first, second = both_warped(frames, flow, top=3, left=2)
    expected = torch.lerp(second, first, torch.sigmoid(mask))
    expected = expected + 2 * torch.sigmoid(residual[..., :3].permute(0, 3, 1, 2)) - 1
    low, high = torch.minimum(first, second).clamp(max=0), torch.maximum(first, second).clamp(min=1)
    near(made, expected.clamp(low, high))


@pytest.mark.parametrize("channels", [32, 48])
def test_sums_and_norms_of_tokens(kernels, channels):
    x, add, scale = normal(2, 3, 5, channels), normal(2, 3, 5, channels), normal(channels)
    norm, gate, bias = (normal(channels), normal(channels)), normal(2, channels), normal(channels)

    def normed(y):
        return F.layer_norm(y, (channels,), *norm)

    sum_norm = kernels("tokens").sum_norm
    near(sum_norm(x, norm=norm)[1], normed(x))
    total, after = sum_norm(x, scale, add, norm=norm)
    near(total, x * scale + add)
    near(after, normed(x * scale + add), 1e-4)
    total, same = sum_norm(x, scale, add, gate=(gate, bias))
    near(total, x * scale + (add + bias) * gate[:, None, None])
    assert same is total


def test_norm_then_gate(kernels):
    wide, y, norm = normal(30, 64), normal(30, 32), (normal(32), normal(32))
    actual = kernels("tokens").norm_gate(y, wide[:, 32:], *norm)
    near(actual, F.layer_norm(y, (32,), *norm) * F.silu(wide[:, 32:]), 1e-4)


def test_one_kernel_tells_whether_triton_works(kernels, monkeypatch):
    tokens = kernels("tokens")
    trial = tokens.failure.__wrapped__
    assert trial(DEVICE) is None
    monkeypatch.setattr(tokens, "norm_gate", lambda y, *_: y)
    assert trial(DEVICE) == "needs Triton to work, but a trial run gave wrong numbers"

    def no_compiler(*_):
        raise RuntimeError("Failed to find C compiler\nPlease set CC")

    monkeypatch.setattr(tokens, "norm_gate", no_compiler)
    assert trial(DEVICE).endswith("a trial run failed: Failed to find C compiler")


def test_channel_gate_is_the_channel_attention(kernels):
    x, bias = normal(3, 9, 17, 32), normal(32)
    down, up, down_bias, up_bias = normal(4, 32), normal(4, 32), normal(4), normal(32)
    mean = (x + bias).mean((1, 2))
    expected = torch.sigmoid(F.relu(mean @ down.T + down_bias) @ up + up_bias)
    near(kernels("tokens").channel_gate(x, bias, down, down_bias, up, up_bias), expected)


@pytest.mark.parametrize("form", ["plain", "prelu", "gelu"])
def test_what_follows_a_convolution(kernels, form):
    x, bias, slope, before = normal(2, 3, 5, 24), normal(24), normal(24), normal(2, 3, 5, 24)
    one, two = torch.zeros(2, 3, 5, 40, device=DEVICE), torch.zeros(2, 3, 5, 24, device=DEVICE)
    chosen = {"slope": slope} if form == "prelu" else {"gelu": form == "gelu"}
    expected = x + bias
    if form == "prelu":
        expected = torch.where(expected > 0, expected, expected * slope)
    elif form == "gelu":
        expected = F.gelu(expected)
    kernels("convolution").finish(x, bias, **chosen, before=before, out=one[..., 8:32], second=two)
    near(one[..., 8:32], expected + before)
    near(two, expected + before)
    assert (one[..., 32:] == 0).all()
