"""The half-precision engine on a GPU: the plain network's pictures, tiled, recorded, any time."""

from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import pytest
import torch

from vfimamba_cli.checkpoint.load import load_model
from vfimamba_cli.data.davis7 import find_davis7, read_davis7
from vfimamba_cli.engine import graphs as graphs_module
from vfimamba_cli.engine.color import to_rgb
from vfimamba_cli.engine.interpolator import Interpolator
from vfimamba_cli.metrics import psnr_8bit
from vfimamba_cli.video.reader import VideoReader

DEMO = Path(__file__).parents[1] / "media" / "demo.mp4"
SHARED = Path(__file__).resolve().parents[2] / "../shared/data"
REAL_4K = SHARED / "test/portrait_4k60.mp4"
VALIDATION = SHARED / "val"
HALF = [Fraction(1, 2)]

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def network():
    return load_model("vfimamba-s")


@pytest.fixture(scope="module")
def fused(network):
    """The engine as it is chosen; its recording follows the size of the last pair."""
    return Interpolator(network)


@pytest.fixture(scope="module")
def pairs():
    """20 pairs of neighbors from real footage, (2, 1, 3, H, W) each."""
    with VideoReader(DEMO) as reader:
        frames = [to_rgb(f.planes, f.color, "cuda")[None] for f in reader.frames()]
    return [torch.stack(pair) for pair in list(pairwise(frames))[::4][:20]]


def enlarged(pair, height, width):
    """The same frames at another size: real content, larger motion."""
    big = torch.nn.functional.interpolate(pair[:, 0], (height, width), mode="bicubic")
    return big[:, None]


def codes(a, b):
    """Differences in codes of 8 bits."""
    return (a - b).abs() * 255


def test_the_fastest_backend_is_chosen_and_fused(network, fused):
    assert fused.backend.name == "lanes"
    assert fused.graphs is not None
    assert Interpolator(network, dtype=torch.float32).graphs is None
    assert Interpolator(network, scan="chunked").graphs is None


def test_pictures_of_real_footage_are_those_of_the_fp32_network(network, fused, pairs):
    truth = Interpolator(network, dtype=torch.float32, scan="chunked")
    with torch.backends.cudnn.flags(allow_tf32=False):
        off = torch.stack(
            [codes(fused.interpolate(*p, HALF), truth.interpolate(*p, HALF)) for p in pairs]
        )
    assert len(pairs) == 20
    assert off.mean() <= 0.15
    assert (off <= 2).float().mean() >= 0.999


@pytest.mark.parametrize(("dtype", "flow_scale"), [(torch.float16, 0.5), (torch.bfloat16, 1)])
def test_number_formats_and_flow_scales(network, pairs, dtype, flow_scale):
    fused = Interpolator(network, dtype=dtype, flow_scale=flow_scale)
    truth = Interpolator(network, dtype=torch.float32, scan="chunked", flow_scale=flow_scale)
    off = codes(fused.interpolate(*pairs[3], HALF), truth.interpolate(*pairs[3], HALF))
    assert off.mean() <= (0.15 if dtype == torch.float16 else 1)


def test_alpha_moves_with_colors_that_are_the_same_without_it(fused, pairs):
    """The second time by a graph of its own. Alpha is a picture here, that of green."""
    first, second = pairs[3]
    plain = fused.interpolate(first, second, HALF)
    translucent = [torch.cat((frame, frame[:, 1:2]), dim=1) for frame in (first, second)]
    for _ in "recorded", "replayed":
        made = fused.interpolate(*translucent, HALF)
        assert codes(made[:, :, :3], plain).max() <= 1
        assert codes(made[:, :, 3:], plain[:, :, 1:2]).mean() < 3


@pytest.mark.parametrize("tile", [256, 512, 1024])
def test_tiled_is_untiled(network, fused, pairs, tile):
    first, second = enlarged(pairs[5], 1090, 1934)
    whole = fused.interpolate(first, second, HALF)
    engine = Interpolator(network, tile=tile)
    for _ in "recorded", "replayed":
        assert codes(engine.interpolate(first, second, HALF), whole).max() <= 1
    assert engine.graphs._recording.options.tile == tile


@pytest.fixture(scope="module")
def pair_4k():
    """Two frames of real 4K footage, six apart, (2, 1, 3, H, W); no side a multiple of a tile."""
    if not REAL_4K.exists():
        pytest.skip(f"tiles are NOT tested on real 4K frames: no {REAL_4K}")
    with VideoReader(REAL_4K) as reader:
        frames = list(islice(reader.frames(), 0, 7, 6))
    return torch.stack([to_rgb(f.planes, f.color, "cuda")[None] for f in frames])[..., 8:, 24:]


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-4), (torch.float16, 1 / 255)])
def test_tiled_is_untiled_on_real_4k_frames(network, pair_4k, dtype, most):
    assert min(pair_4k.shape[-2:]) >= 2100
    with torch.backends.cudnn.flags(allow_tf32=False):
        whole = Interpolator(network, dtype=dtype).interpolate(*pair_4k, HALF)
        for tile in (256, 512, 1024):
            tiled = Interpolator(network, dtype=dtype, tile=tile).interpolate(*pair_4k, HALF)
            assert (tiled - whole).abs().max() <= most


def test_half_precision_costs_nothing_on_the_validation_triplets(network):
    if not VALIDATION.exists():
        pytest.skip(f"half precision is NOT tested on the validation triplets: no {VALIDATION}")
    clips = torch.from_numpy(read_davis7(find_davis7(VALIDATION))).permute(0, 1, 4, 2, 3)
    half, truth = Interpolator(network), Interpolator(network, dtype=torch.float32, scan="triton")
    assert len(clips) == 355
    for first, middle, last in ((0, 4, 8), (0, 1, 2)):
        scores = []
        for engine in (half, truth):
            made = [
                engine.interpolate(*(clips[i : i + 5, n].cuda() / 255 for n in (first, last)), HALF)
                for i in range(0, len(clips), 5)
            ]
            scores.append(
                psnr_8bit(torch.cat([m[0] for m in made]).cpu(), clips[:, middle] / 255).mean()
            )
        assert abs(scores[0] - scores[1]) <= 0.01


def test_a_recording_made_for_one_pair_serves_all_pairs_and_times(network, pairs):
    times = [Fraction(1, 4), Fraction(1, 2), Fraction(7, 10)]
    recorded, plain = Interpolator(network), Interpolator(network)
    plain.graphs = None
    recorded.interpolate(*pairs[0], HALF)
    recording = recorded.graphs._recording
    for pair in (pairs[9], pairs[0]):
        made, expected = (e.interpolate(*pair, times) for e in (recorded, plain))
        assert torch.equal(made, expected)
        assert codes(made[0], made[2]).mean() > 0.05  # times differ, memory is not shared
    assert recorded.graphs._recording is recording
    small = pairs[0][..., :200, :300]
    assert torch.equal(recorded.interpolate(*small, HALF), plain.interpolate(*small, HALF))
    assert recorded.graphs._recording is not recording


def test_augmentation_and_halving_use_the_recording_twice(network, pairs):
    for options in ({"tta": True}, {"schedule": "halving"}):
        recorded, plain = (Interpolator(network, **options) for _ in "ab")
        plain.graphs = None
        times = [Fraction(i, 4) for i in (1, 2, 3)]
        for pair in pairs[2:4]:  # the second one finds the recording made
            made, expected = (e.interpolate(*pair, times) for e in (recorded, plain))
            assert torch.equal(made, expected)


def test_batches(fused, pairs):
    both = torch.cat((pairs[1], pairs[8]), dim=1)
    made = fused.interpolate(*both, HALF)[0]
    alone = [fused.interpolate(*p, HALF)[0, 0] for p in (pairs[1], pairs[8])]
    assert codes(made, torch.stack(alone)).max() <= 1


def test_two_pairs_at_once_are_refused(fused, pairs):
    begun = fused.between(*pairs[0], [Fraction(1, 4), Fraction(3, 4)])
    next(begun)
    fused.interpolate(*pairs[1], HALF)
    with pytest.raises(RuntimeError, match="another pair"):
        next(begun)


def test_a_recording_that_is_off_is_announced_and_not_used(network, pairs, monkeypatch):
    said = []
    monkeypatch.setattr(graphs_module.Recording, "check", lambda self: 0.5)
    engine = Interpolator(network, announce=said.append)
    made = engine.interpolate(*pairs[4], HALF)
    assert said == ["CUDA graph: off by 5.0e-01, so frames are made without it"]
    assert engine.graphs._recording is None
    plain = Interpolator(network)
    plain.graphs = None
    assert torch.equal(made, plain.interpolate(*pairs[4], HALF))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU: the second is NOT tested")
def test_another_gpu_than_the_current_one(network, pairs):
    """Nor does it lead astray one that was made before it and has yet to record."""
    here = Interpolator(network)
    there = Interpolator(network, device="cuda:1")
    assert (here.device.index, there.device.index) == (0, 1)
    assert torch.cuda.current_device() == 0
    other = there.interpolate(*pairs[0], HALF)
    assert torch.cuda.current_device() == 0
    assert other.device.index == 1
    assert codes(other.to("cuda:0"), here.interpolate(*pairs[0], HALF)).max() <= 1
