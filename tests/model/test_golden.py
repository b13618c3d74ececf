"""The network gives the reference network's outputs, on every path, with every scan."""

import pytest
import torch

from tests.golden import HERE, SHARED, golden_arrays, golden_network
from vfimamba_cli.engine.paths import PathOptions, enlarge, find_motion, predict
from vfimamba_cli.ops.resize import resize
from vfimamba_cli.ops.scan import choose_backend

SETS = [("vfimamba_s", HERE), ("vfimamba_s", SHARED), ("vfimamba", SHARED)]


@pytest.fixture(scope="module", params=SETS, ids=["bundled-S", "shared-S", "shared-large"])
def golden(request):
    name, folder = request.param
    if not folder.exists():
        pytest.skip(f"the full golden set is not at {folder}")
    return golden_network(name, folder), golden_arrays(name, folder)


@pytest.mark.parametrize("backend", ["reference", "chunked", "cpu"])
def test_every_golden_array_is_reproduced_on_the_cpu(golden, backend):
    assert_all_reproduced(*golden, backend, "cpu", tolerance=1e-4)


@pytest.mark.gpu
@pytest.mark.mamba
def test_every_golden_array_is_reproduced_with_the_real_mamba_kernels(golden):
    assert_all_reproduced(*golden, "mamba_cuda", "cuda", tolerance=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["reference", "chunked", "triton"])
def test_every_golden_array_is_reproduced_on_a_gpu(golden, backend):
    assert_all_reproduced(*golden, backend, "cuda", tolerance=1e-3)


@torch.inference_mode()
def assert_all_reproduced(network, arrays, backend, device, *, tolerance):
    device = torch.device(device)
    network = network.to(device)
    network.use_scan(choose_backend(backend, device))
    with torch.backends.cudnn.flags(allow_tf32=False):
        outputs = all_outputs(network, {k: v.to(device) for k, v in arrays.items()})
    expected = arrays.keys() - {"frame0", "frame1", "hr_frame0", "hr_frame1"}
    assert expected <= outputs.keys()
    for name in sorted(expected):
        torch.testing.assert_close(
            outputs[name].cpu(),
            arrays[name],
            rtol=0,
            atol=tolerance,
            msg=lambda m, n=name: f"{n}: {m}",
        )


def all_outputs(network, arrays):
    frames = torch.stack((arrays["frame0"], arrays["frame1"]))
    features = network.encode(frames)
    out = {f"feature{i}": level.flatten(0, 1) for i, level in enumerate(features)}
    for t in (0.5, 0.25):
        coarse = network.estimate_motion(frames, features, torch.tensor([t]))
        motion = network.refine_motion(frames, coarse)
        out[f"flow_t{t}"], out[f"mask_t{t}"] = motion.flow, motion.mask.sigmoid()
        out[f"pred_t{t}"] = network.synthesize(frames, features, motion)
        if t == 0.5:
            out["flow_nolocal"] = coarse.flow
    out["pred_nolocal"] = next(predict(network, frames, [0.5], PathOptions(local=False)))
    out["pred_tta"] = next(predict(network, frames, [0.5], PathOptions(tta=True)))

    frames = torch.stack((arrays["hr_frame0"], arrays["hr_frame1"]))
    options = PathOptions(flow_scale=0.5, refine_at="flow")
    low = resize(frames.flatten(0, 1), 0.5).unflatten(0, (2, -1))
    motion = enlarge(find_motion(network, low, network.encode(low), 0.5, options), 2)
    out["hr_flow"], out["hr_mask_logit"] = motion.flow, motion.mask
    out["hr_pred"] = next(predict(network, frames, [0.5], options))
    full = PathOptions(flow_scale=0.5, refine_at="full")
    out["scale_pred"] = next(predict(network, frames, [0.5], full))
    return out
