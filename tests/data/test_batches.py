import numpy as np
import pytest
import torch

from tests.data.footage import panning, texture
from vfimamba_cli.data.batches import TripletBatches, cut_triplet
from vfimamba_cli.data.clips import make_clip
from vfimamba_cli.data.sampling import Draw, TripletRules, TripletSampler
from vfimamba_cli.data.synthetic import SyntheticRules, SyntheticScenes

CPU = torch.device("cpu")


def batches(seed=0, synthetic=1, device=CPU):
    rng = np.random.default_rng(0)
    clips = [make_clip(f"{i}", panning(rng, frames=8, step=i), device, device) for i in (1, 3)]
    photo = make_clip("photo", texture(rng, 80, 80)[None], device, device)
    return TripletBatches(
        sampler=TripletSampler(clips, TripletRules(crop=32)),
        scenes=SyntheticScenes((photo, *clips), SyntheticRules(), 32),
        size=4,
        synthetic=synthetic,
        seed=seed,
        device=device,
    )


def test_a_batch_depends_on_seed_and_step_alone():
    ours, again = batches(), batches()
    again.at(7)  # what was drawn before does not matter
    torch.testing.assert_close(ours.at(3).frames, again.at(3).frames, rtol=0, atol=0)
    assert ours.at(3).origins == again.at(3).origins
    assert not torch.equal(ours.at(3).frames, ours.at(4).frames)
    assert not torch.equal(ours.at(3).frames, batches(seed=1).at(3).frames)


def test_a_batch_has_the_shapes_and_names_it_promises():
    batch = batches().at(0)
    assert batch.frames.shape == (2, 4, 3, 32, 32)
    assert batch.target.shape == (4, 3, 32, 32)
    assert batch.t.shape == (4,)
    assert [origin.split()[-1] for origin in batch.origins].count("moved") == 1


def test_the_target_is_where_t_says_in_either_direction_of_time():
    levels = np.arange(0, 250, 10, dtype=np.uint8)  # brightness is a clock
    pixels = np.broadcast_to(levels[:, None, None, None], (25, 48, 48, 3)).copy()
    clip = make_clip("a", pixels, CPU, CPU)
    sampler = TripletSampler([clip], TripletRules(crop=32))
    rng = np.random.default_rng(0)
    for _ in range(50):
        draw = sampler.draw(rng)
        first, target, second = cut_triplet(clip, draw, 32, CPU)[0].mean((1, 2, 3)).tolist()
        assert abs(first + draw.t * (second - first) - target) < 1e-5


def test_a_square_is_cut_where_it_was_drawn_and_brought_to_the_crop():
    pixels = np.zeros((3, 64, 64, 3), np.uint8)
    pixels[:, 16:48, 8:40] = 255
    clip = make_clip("a", pixels, CPU, CPU)
    exact = Draw(clip=0, frames=(0, 1, 2), top=16, left=8, side=32)
    assert cut_triplet(clip, exact, 32, CPU).min() == 1
    whole = cut_triplet(clip, Draw(clip=0, frames=(0, 1, 2), top=0, left=0, side=64), 32, CPU)
    assert whole.shape == (1, 3, 3, 32, 32)
    assert abs(whole.mean().item() - 0.25) < 1e-3


@pytest.mark.gpu
def test_a_batch_is_assembled_on_the_gpu_without_waiting_for_it():
    on_gpu = batches(device=torch.device("cuda", 0))
    on_gpu.at(0)  # what is set up once may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        batch = on_gpu.at(3)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = batches().at(3)
    torch.testing.assert_close(batch.frames.cpu(), expected.frames, rtol=0, atol=5e-3)
    torch.testing.assert_close(batch.t.cpu(), expected.t)
