from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.data.footage import panning, texture, write_clip, write_photo
from vfimamba_cli.data.batches import CutSample, Mixture, TripletBatches, cut_triplet
from vfimamba_cli.data.clips import make_clip
from vfimamba_cli.data.sampling import Draw, TripletRules, TripletSampler
from vfimamba_cli.data.stored import StoredClip, find_x_train
from vfimamba_cli.data.synthetic import SyntheticRules, SyntheticScenes
from vfimamba_cli.errors import InputError

CPU = torch.device("cpu")


def batches(seed=0, synthetic=0.25, device=CPU, *, clips=None, size=4, phases=1, **options):
    rng = np.random.default_rng(0)
    clips = clips or [
        make_clip(f"{i}", panning(rng, frames=8, step=i), device, device) for i in (1, 3)
    ]
    photo = make_clip("photo", texture(rng, 80, 80)[None], device, device)
    mixture = Mixture(
        sources=(
            TripletSampler(clips, TripletRules(crop=32, lively=0)),
            SyntheticScenes((photo,), SyntheticRules(crop=32)),
        ),
        shares=(1 - synthetic, synthetic),
        crop=32,
    )
    return TripletBatches([mixture] * phases, size=size, seed=seed, device=device, **options)


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


def test_every_source_has_its_share_of_every_batch():
    ours = batches(synthetic=0.3, size=10)
    for step in range(5):
        assert sum("moved" in origin for origin in ours.at(step).origins) == 3


@pytest.mark.parametrize("ranks", [2, 4])
def test_processes_share_the_batch_of_one(ranks):
    whole = batches(size=8).at(5)
    parts = [batches(size=8, rank=rank, ranks=ranks).at(5) for rank in range(ranks)]
    found = {}
    for part in parts:
        for i, origin in enumerate(part.origins):
            found[origin, part.t[i].item()] = part.target[i]
    assert len(found) == 8
    for i, origin in enumerate(whole.origins):
        ours = found[origin, whole.t[i].item()]
        torch.testing.assert_close(ours, whole.target[i], rtol=0, atol=1e-6)
    assert batches(size=8, rank=0, ranks=ranks).origins(5, 0, 1) == tuple(
        s.origin for s in batches(size=8, rank=1, ranks=ranks).samples(5, 0)
    )


@pytest.fixture
def stored(tmp_path):
    """The same footage as pictures and as a video."""
    for number in range(2):
        pixels = panning(np.random.default_rng(number), frames=6)
        write_clip(tmp_path / f"{number}.mkv", pixels)
        (tmp_path / "frames" / f"{number}").mkdir(parents=True)
        for i, picture in enumerate(pixels):
            write_photo(tmp_path / "frames" / f"{number}" / f"{i:04}.png", picture)
    return tmp_path


@pytest.mark.parametrize("workers", [1, 3])
def test_files_read_by_any_number_of_threads_give_the_batches_of_memory(stored, workers):
    clips = find_x_train(stored)
    assert [clip.name for clip in clips] == ["0.mkv", "1.mkv", "frames/0", "frames/1"]
    assert {clip.length for clip in clips} == {6}
    held = [make_clip(c.name, c.pixels(range(6)), CPU, CPU) for c in clips]
    memory = batches(clips=[replace(clip, speed=0.0) for clip in held])
    reading = batches(clips=clips, workers=workers)
    for step in (0, 1, 2, 9):
        ours, expected = reading.at(step), memory.at(step)
        assert ours.origins == expected.origins
        torch.testing.assert_close(ours.frames, expected.frames, rtol=0, atol=0)


def test_a_sample_that_cannot_be_read_is_drawn_anew_and_the_file_named(stored):
    for path in (stored / "frames" / "1").iterdir():
        path.write_bytes(b"no picture at all")
    (stored / "0.mkv").write_bytes((stored / "0.mkv").read_bytes()[:400])
    said = []
    clips = find_x_train(stored / "frames")
    reading = batches(clips=[*clips, StoredClip("cut off", (stored / "0.mkv",), 6, (48, 64))],
                      synthetic=0, announce=said.append)  # fmt: skip
    for step in range(4):
        assert all(origin.startswith("0 frames") for origin in reading.at(step).origins)
    assert "cut off" in reading.skipped
    assert "skipped, 1 so far: " in said[0]
    assert len(said) == len(reading.skipped), "each is named once"


def test_a_set_of_which_nothing_can_be_read_ends_the_run(tmp_path):
    nothing = StoredClip("gone", (tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png"), 3,
                         (48, 64))  # fmt: skip
    with pytest.raises(InputError, match="20 samples in a row cannot be read") as caught:
        batches(clips=[nothing], synthetic=0).at(0)
    assert str(tmp_path) in str(caught.value)


def test_the_target_is_where_t_says_in_either_direction_of_time():
    levels = np.arange(0, 250, 10, dtype=np.uint8)  # brightness is a clock
    pixels = np.broadcast_to(levels[:, None, None, None], (25, 48, 48, 3)).copy()
    clip = make_clip("a", pixels, CPU, CPU)
    sampler = TripletSampler([clip], TripletRules(crop=32))
    rng = np.random.default_rng(0)
    for _ in range(50):
        draw = sampler.draw(rng)
        first, target, second = cut_of(clip, draw)[0].mean((1, 2, 3)).tolist()
        assert abs(first + draw.t * (second - first) - target) < 1e-5


def cut_of(clip, draw):
    sample = CutSample(clip=clip, draw=draw, square=None, rng=np.random.default_rng(0))
    return cut_triplet(sample, 32, CPU)


def test_a_square_is_cut_where_it_was_drawn_and_brought_to_the_crop():
    pixels = np.zeros((3, 64, 64, 3), np.uint8)
    pixels[:, 16:48, 8:40] = 255
    clip = make_clip("a", pixels, CPU, CPU)
    exact = Draw(clip=0, frames=(0, 1, 2), top=16, left=8, side=32)
    assert cut_of(clip, exact).min() == 1
    whole = cut_of(clip, Draw(clip=0, frames=(0, 1, 2), top=0, left=0, side=64))
    assert whole.shape == (1, 3, 3, 32, 32)
    assert abs(whole.mean().item() - 0.25) < 1e-3


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
def test_a_batch_is_assembled_on_the_gpu_without_waiting_for_it():
    on_gpu = batches(device=torch.device("cuda", 0))
    on_gpu.at(0)  # what is set up once may wait
    try:
        torch.cuda.set_sync_debug_mode("error")
        batch = on_gpu.at(3)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = batches().at(3)
    torch.testing.assert_close(batch.frames.cpu(), expected.frames, rtol=0, atol=5e-3)
    torch.testing.assert_close(batch.t.cpu(), expected.t)
