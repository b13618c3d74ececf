"""What holds for every configuration of the network."""

import pytest
import torch

from vfimamba_cli.model.blocks import LayerNorm
from vfimamba_cli.model.config import TINY, VFIMAMBA, VFIMAMBA_S, ModelConfig
from vfimamba_cli.model.mixers import AttentionMixer
from vfimamba_cli.model.registry import ModelSpec
from vfimamba_cli.model.vfimamba import VFIMamba
from vfimamba_cli.ops.scan import Backend, choose_backend

ABLATIONS = [
    {},
    {"mixer": "none"},
    {"mixer": "conv"},
    {"mixer": "local_attention"},
    {"mixer": "full_attention"},
    {"rows": "sequential"},
    {"columns": "sequential"},
    {"rows": "sequential", "columns": "sequential"},
    {"column_merge": "exact"},
]


def tiny(**changes):
    return ModelSpec(name="tiny", config=ModelConfig(**{**TINY.to_dict(), **changes})).build()


@pytest.mark.parametrize("changes", ABLATIONS, ids=str)
def test_every_ablation_trains_all_its_parameters(changes):
    network = tiny(**changes)
    prediction = network(torch.rand(2, 1, 3, 32, 48), torch.tensor([0.3]))
    assert prediction.picture.shape == (1, 3, 32, 48)
    loss = (prediction.picture - 0.3).square().mean()
    loss = loss + sum((merge - 0.7).square().mean() for merge in prediction.merges)
    loss.backward()
    without = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all()
    ]
    assert not without


@pytest.mark.parametrize("changes", ABLATIONS[:5], ids=str)
def test_a_sample_does_not_depend_on_the_rest_of_its_batch(changes):
    network = tiny(**changes).eval()
    frames, t = torch.rand(2, 2, 3, 32, 32), torch.tensor([0.25, 0.5])
    with torch.inference_mode():
        both = network(frames, t).picture
        alone = torch.cat([network(frames[:, i : i + 1], t[i : i + 1]).picture for i in (0, 1)])
    torch.testing.assert_close(both, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mixer", ["s6", "conv", "local_attention", "full_attention"])
def test_mixers_carry_information_between_the_frames_and_none_does_not(mixer):
    frames = torch.rand(2, 1, 3, 32, 32)
    changed = frames.clone()
    changed[1] = torch.rand_like(changed[1])
    with torch.inference_mode():
        for name, differs in ((mixer, True), ("none", False)):
            network = tiny(mixer=name).eval()
            before, after = (network.encode(x)[4][0] for x in (frames, changed))
            assert bool((before - after).abs().max() > 1e-6) is differs


def test_local_attention_on_a_map_within_one_window_is_full_attention():
    full = AttentionMixer(16, window=None, norm=LayerNorm)
    local = AttentionMixer(16, window=8, norm=LayerNorm)
    local.load_state_dict(full.state_dict())
    u = torch.randn(2, 3, 32, 5, 7)
    with torch.inference_mode():
        torch.testing.assert_close(local.mix(u), full.mix(u))


def test_published_sizes_have_the_published_number_of_parameters():
    for config, expected in ((VFIMAMBA_S, 16_792_786), (VFIMAMBA, 66_070_921)):
        with torch.device("meta"):
            network = ModelSpec(name="m", config=config).build()
        assert sum(p.numel() for p in network.parameters()) == expected


def test_fresh_scans_start_with_steps_between_a_thousandth_and_a_tenth():
    mixer = tiny().backbone.stages[3].blocks[0].mixer
    step = torch.nn.functional.softplus(mixer.dt_projs_bias)
    assert 0.9e-3 < step.min() < 2e-3
    assert 0.05 < step.max() < 0.101
    torch.testing.assert_close(-torch.exp(mixer.A_logs[0]), -torch.arange(1.0, 17))


def test_use_scan_reaches_every_mixer():
    network = tiny()
    wanted = choose_backend("reference", torch.device("cpu"))
    network.use_scan(wanted)
    assert all(stage.blocks[0].mixer.backend == wanted for stage in network.backbone.stages[3:])


@pytest.mark.parametrize(
    "bad",
    [{"width": 12}, {"width": 0}, {"depths": (1, 1)}, {"mixer": "rnn"}, {"column_merge": "odd"}],
    ids=str,
)
def test_an_impossible_configuration_is_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        ModelConfig(**{"width": 16, **bad})


def test_a_spec_survives_the_way_through_plain_values():
    spec = ModelSpec(name="x", config=TINY, channel_order="bgr", arbitrary_time=True)
    assert ModelSpec.from_dict(spec.to_dict()) == spec


def test_a_scan_of_feature_maps_is_refused_where_tokens_do_not_alternate():
    network = VFIMamba(ModelConfig(**{**TINY.to_dict(), "rows": "sequential"}))
    with pytest.raises(ValueError, match="tokens alternate"):
        network.use_scan(Backend(name="maps", grid="cross_reference", sequences=False))
    VFIMamba(TINY).use_scan(Backend(name="maps", grid="cross_reference", sequences=False))
