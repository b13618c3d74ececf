"""Videos that are looked through once and read again give the samples of those in memory."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from tests.data.footage import panning, write_clip
from vfimamba_cli.data.batches import Mixture, TripletBatches
from vfimamba_cli.data.clips import load_clips
from vfimamba_cli.data.indexed import try_index
from vfimamba_cli.data.sampling import TripletRules, TripletSampler
from vfimamba_cli.errors import InputError
from vfimamba_cli.train import sources
from vfimamba_cli.video.clip import read_clip
from vfimamba_cli.video.timed import read_at, timed_pictures

CPU = torch.device("cpu")
DEMO = Path(__file__).parents[1] / "media/demo.mp4"


def write_h264(path, pixels):
    """With a key frame every eight pictures, and B-frames between."""
    with av.open(str(path), "w") as container:
        options = {"bf": "2", "g": "8", "keyint_min": "8", "x264-params": "scenecut=0"}
        stream = container.add_stream("libx264", rate=24, options=options)
        stream.height, stream.width, stream.pix_fmt = *pixels.shape[1:3], "yuv420p"
        for picture in pixels:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    one, two = panning(rng, frames=6) // 4, 255 - panning(rng, frames=5) // 4
    write_clip(tmp_path / "cut.mkv", np.concatenate((one[:2], one[1:], two)))
    write_h264(tmp_path / "long.mp4", panning(rng, frames=30, step=3))
    return tmp_path


def test_shots_are_those_of_a_folder_in_memory(folder):
    held = load_clips(folder, device=CPU).clips
    indexed = [clip for path in sorted(folder.iterdir()) for clip in try_index(path)]
    assert [clip.name for clip in indexed] == ["cut.mkv shot 1", "cut.mkv shot 2", "long.mp4"]
    for ours, expected in zip(indexed, held, strict=True):
        assert (ours.name, ours.length, ours.size) == (
            expected.name,
            expected.length,
            expected.size,
        )
        assert ours.speed == pytest.approx(expected.speed, rel=1e-6)
        assert np.array_equal(ours.thumbnails, expected.thumbnails)
        last = ours.length - 1
        square = (last, 1, 0), 8, 5, 32
        assert torch.equal(ours.square(*square), expected.square(*square))
        assert ours.nbytes == expected.nbytes


def test_the_same_samples_are_drawn_from_files_as_from_memory(folder):
    held = load_clips(folder, device=CPU).clips
    indexed = [clip for path in sorted(folder.iterdir()) for clip in try_index(path)]
    samplers = [TripletSampler(clips, TripletRules(crop=32)) for clips in (held, indexed)]
    mixtures = [Mixture(sources=(sampler,), shares=(1,), crop=32) for sampler in samplers]
    batches = [
        TripletBatches([mixture], size=4, seed=0, device=CPU, workers=2) for mixture in mixtures
    ]
    for step in (0, 1, 5):
        ours, expected = (made.at(step) for made in batches)
        assert ours.origins == expected.origins
        assert torch.equal(ours.frames, expected.frames)


def test_pictures_are_read_from_the_key_frame_before_them(folder, monkeypatch):
    path = folder / "long.mp4"
    pixels = read_clip(path)
    times = [time for time, _ in timed_pictures(path)]
    assert len(times) == 30
    for numbers in ((0, 1, 2), (29, 20, 11), (8, 8, 16), (27, 28, 29)):
        read = read_at(path, [times[number] for number in numbers])
        assert np.array_equal(read, pixels[list(numbers)])
    assert sum(1 for _ in timed_pictures(path, times[20])) == 30 - 16
    with pytest.raises(InputError, match="No longer holds the pictures"):
        read_at(path, [times[3] + 1])


def test_real_footage_is_split_where_its_scene_changes():
    first, second = try_index(DEMO)
    assert (first.length, second.length) == (35, 63)


def test_a_folder_is_kept_in_memory_only_if_it_fits_beside_the_other_processes(folder, monkeypatch):
    (folder / "bad.mp4").write_bytes(b"no video at all")
    said = []
    needed = sum(clip.nbytes for clip in load_clips(folder, device=CPU).clips) + 48 * 64 * 3
    monkeypatch.setattr(sources, "host_bytes", lambda: 4 * needed)
    kept = sources.open_clips(folder, CPU, 2, said.append)
    assert not any(clip.is_stored for clip in kept)
    read = sources.open_clips(folder, CPU, 3, said.append)
    assert all(clip.is_stored for clip in read)
    assert [clip.name for clip in read] == [clip.name for clip in kept]
    assert "too much to keep: looking through 3 videos once" in said[-3]
    assert "bad.mp4" in said[-2]
    assert "read as they are drawn, 1 skipped" in said[-1]
    for path in folder.iterdir():
        path.write_bytes(b"no video at all")
    monkeypatch.setattr(sources, "decoded_bytes", lambda path: needed)
    with pytest.raises(InputError, match="None of the 3 videos can be used"):
        sources.open_clips(folder, CPU, 3, said.append)
