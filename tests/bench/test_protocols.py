"""The runner against an independent slow implementation, protocol by protocol."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from tests.bench import layouts, slow
from tests.golden import HERE, golden_network
from vfimamba_cli.bench.ledger import Ledger
from vfimamba_cli.bench.method import Model
from vfimamba_cli.bench.protocol import PROTOCOLS
from vfimamba_cli.bench.quality import find_groups, run_protocols, score_clips
from vfimamba_cli.bench.speed import DTYPES
from vfimamba_cli.checkpoint.store import save_checkpoint
from vfimamba_cli.model.config import ModelConfig
from vfimamba_cli.model.registry import ModelSpec
from vfimamba_cli.ops.scan import choose_backend
from vfimamba_cli.video.still import read_still

CPU = torch.device("cpu")
SIZE = (60, 124)
"""Of "4K" frames: no multiple of what the network needs, so that padding is measured, too."""

SMALL = (30, 62)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small network, fed B, G, R as the published one is."""
    return tiny_model(tmp_path_factory, ModelConfig(width=16, depths=(1, 1, 1, 1, 1)))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A network that counts as large."""
    return tiny_model(tmp_path_factory, ModelConfig(width=32, depths=(1, 1, 1, 1, 1)))


def tiny_model(tmp_path_factory, config):
    """One block a stage, random weights, in a file as a user has it."""
    torch.manual_seed(1)
    network = ModelSpec(name="tiny", config=config, channel_order="bgr").build().eval()
    return saved(network, tmp_path_factory.mktemp("tiny"))


def saved(network, folder):
    path = folder / "weights.safetensors"
    save_checkpoint(path, network.spec, network.state_dict())
    model = Model(str(path), device=CPU, dtype=None, first=PROTOCOLS["ucf101"])
    model.network.use_scan(choose_backend("auto", CPU))
    return model


def test_the_engine_of_the_first_protocol_is_ready_and_serves_those_set_alike():
    model = Model("tiny", device=CPU, dtype=None, first=PROTOCOLS["xtest-4k"])
    (ready,) = model.engines.values()
    assert ready.flow_scale == 0.25
    assert model.engine(PROTOCOLS["xtest-4k"]) is ready
    assert model.engine(PROTOCOLS["ucf101"]) is not ready


def run(protocol, model, folder, clips):
    """The runner's scores by clip."""
    groups = find_groups([protocol], data=folder, limit=clips)
    alone = partial(score_clips, methods=[model], device=model.device)
    scores = run_protocols(groups, alone, [model.name], Ledger(None, {}))
    assert len(scores) == clips
    return {score.clip: score for score in scores}


def read(path):
    return read_still(path) / 255


def check(score, truth, made, ssim=slow.ssim_matlab):
    """Every made frame's metrics, and that they are no accident of equal pictures."""
    assert list(score.psnr) == list(truth)
    for number, picture in zip(truth, made, strict=True):
        expected = slow.psnr(picture, truth[number])
        assert 5 < expected < 60
        assert score.psnr[number] == pytest.approx(expected, abs=1e-4)
    for number, picture in list(zip(truth, made, strict=True))[::3]:  # slow is slow
        assert score.ssim[number] == pytest.approx(ssim(picture, truth[number]), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "model", "scale"),
    [("xtest-2k", "small", 0.5), ("xtest-4k", "small", 0.25), ("xtest-2k", "large", 0.5)],
)
def test_xtest(tmp_path, request, name, model, scale):
    """Frames by three halvings, unrounded and padded between; motion refined at its own size."""
    layouts.write_xtest(tmp_path, size=SIZE)
    method = request.getfixturevalue(model)
    protocol = PROTOCOLS[name]
    reduce = slow.halve if protocol.shrink_to else np.asarray
    if protocol.shrink_to:
        assert protocol.shrink_to == (1080, 2048)
        protocol = replace(protocol, shrink_to=SMALL)
    (score,) = run(protocol, method, tmp_path, 1).values()
    assert score.clip == "Type1/TEST01_003_f0433"

    folder = tmp_path / "test" / score.clip
    frames = {i: reduce(read(folder / f"{i:04}.png")) for i in range(0, 33, 4)}
    path = {"scale": scale, "refine_at": "flow", "local": True, "tta": model == "large"}
    made = slow.eightfold(method.network, frames[0], frames[32], multiple=32, **path)
    truth = {i: frames[i] for i in range(4, 32, 4)}
    check(score, truth, [slow.to_8bit(picture) for picture in made])

    (middle,) = run(
        replace(PROTOCOLS[name.replace("xtest", "xtest-l")], shrink_to=protocol.shrink_to),
        method,
        tmp_path,
        1,
    ).values()
    check(middle, {16: frames[16]}, [slow.to_8bit(made[3])])


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    """The whole small network with its golden weights."""
    return saved(golden_network("vfimamba_s", HERE), tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("model", ["golden", "large"])
def test_vimeo90k(tmp_path, request, model):
    """Nothing is rounded or padded; one pass, and for the large network two."""
    layouts.write_vimeo90k(tmp_path, size=(32, 48))
    method = request.getfixturevalue(model)
    scores = run(PROTOCOLS["vimeo90k"], method, tmp_path, 2)
    path = {"scale": 1, "refine_at": "flow", "local": True, "tta": model == "large"}
    for name in ("00001/0266", "00002/0266"):
        first, truth, second = (
            read(tmp_path / "sequences" / name / f"im{i}.png") for i in (1, 2, 3)
        )
        made = slow.triplet(method.network, first, second, multiple=1, **path)
        check(scores[name], {1: truth}, [made])


@pytest.mark.parametrize("model", ["small", "large"])
def test_ucf101(tmp_path, request, model):
    """Without the local blocks, rounded, SSIM on the rounded picture."""
    layouts.write_ucf101(tmp_path, size=(32, 48))
    method = request.getfixturevalue(model)
    scores = run(PROTOCOLS["ucf101"], method, tmp_path, 2)
    path = {"scale": 1, "refine_at": "flow", "local": False, "tta": model == "large"}
    for name in ("1", "2"):
        files = ("frame_00.png", "frame_01_gt.png", "frame_02.png")
        first, truth, second = (read(tmp_path / name / file) for file in files)
        made = slow.triplet(method.network, first, second, multiple=1, **path)
        check(scores[name], {1: truth}, [slow.to_8bit(made)])


@pytest.mark.parametrize("model", ["small", "large"])
@pytest.mark.parametrize("level", ["easy", "medium", "hard", "extreme"])
def test_snu_film(tmp_path, request, model, level):
    """Motion refined at full size; the large network without local blocks where it is hard."""
    layouts.write_snu_film(tmp_path, size=(40, 52), clips=1)
    method = request.getfixturevalue(model)
    (score,) = run(PROTOCOLS[f"snu-film-{level}"], method, tmp_path, 1).values()
    assert score.clip == "test/GOPRO_test/GOPR0384_11_00/000002"

    folder = (tmp_path / score.clip).parent
    first, truth, second = (read(folder / f"{i:06}.png") for i in (1, 2, 3))
    path = {
        "scale": 0.5,
        "refine_at": "full",
        "local": model == "small" or level in ("easy", "medium"),
        "tta": model == "large",
    }
    made = slow.triplet(method.network, first, second, multiple=32, **path)
    check(score, {1: truth}, [made])


@pytest.mark.parametrize("model", ["small", "large"])
@pytest.mark.parametrize("name", ["xiph-2k", "xiph-4k"])
def test_xiph(tmp_path, request, model, name):
    """Reduced 8-bit pictures or the middle of the frame, rounded, scikit-image's SSIM."""
    layouts.write_xiph(tmp_path, size=SIZE)
    method = request.getfixturevalue(model)
    protocol = PROTOCOLS[name]
    if protocol.crop:
        assert protocol.crop == (540, 1024)
        protocol = replace(protocol, crop=(15, 21))
    else:
        assert protocol.shrink_to == (1080, 2048)
        protocol = replace(protocol, shrink_to=SMALL)
    scores = run(protocol, method, tmp_path, 2)

    def arranged(number):
        picture = read(tmp_path / f"BoxingPractice-{number:03}.png")
        if protocol.crop:
            return picture[15:-15, 21:-21]
        return np.floor(slow.halve(picture) * 255 + 0.5 + 1e-9) / 255

    path = {"scale": 0.5, "refine_at": "full", "local": True, "tta": model == "large"}
    for center in (2, 4):
        first, truth, second = (arranged(center + i) for i in (-1, 0, 1))
        made = slow.to_8bit(slow.triplet(method.network, first, second, multiple=32, **path))
        check(scores[f"BoxingPractice/{center:03}"], {1: truth}, [made], slow.ssim_uniform)


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", 0.02), ("auto", 0.2)])
@pytest.mark.parametrize("name", ["ucf101", "snu-film-easy", "xtest-2k"])
def test_a_gpu_gives_the_numbers_of_the_cpu(tmp_path, golden, name, dtype, tolerance):
    """In fp32 up to rounding; in fp16, with the engine's own kernels, nearly so."""
    write = {"ucf101": layouts.write_ucf101, "xtest-2k": layouts.write_xtest}
    write.get(name, layouts.write_snu_film)(tmp_path, size=(128, 192))
    protocol = replace(PROTOCOLS[name], shrink_to=(64, 96) if name == "xtest-2k" else None)
    weights = golden.name
    model = Model(weights, device=torch.device("cuda"), dtype=DTYPES[dtype], first=protocol)
    (expected,) = run(protocol, golden, tmp_path, 1).values()
    (found,) = run(protocol, model, tmp_path, 1).values()
    assert found.psnr == pytest.approx(expected.psnr, abs=tolerance)
    assert found.ssim == pytest.approx(expected.ssim, abs=tolerance / 20)
