import numpy as np
import pytest
import torch

from tests.data.footage import panning, texture, write_clip, write_photo
from vfimamba_cli.data.clips import load_clips, load_photos, make_clip
from vfimamba_cli.errors import InputError

CPU = torch.device("cpu")


def test_a_clip_is_kept_as_it_was_written(tmp_path):
    pixels = panning(np.random.default_rng(0), frames=5)
    write_clip(tmp_path / "a.mkv", pixels)
    (clip,) = load_clips(tmp_path, device=CPU).clips
    assert clip.name == "a.mkv"
    assert np.array_equal(clip.frames.permute(0, 2, 3, 1).numpy(), pixels)


def test_a_photograph_is_a_clip_of_one_frame(tmp_path):
    picture = texture(np.random.default_rng(0), 40, 60)
    write_photo(tmp_path / "a.png", picture)
    (photo,) = load_photos(tmp_path, device=CPU).clips
    assert np.array_equal(photo.frames.permute(0, 2, 3, 1).numpy(), picture[None])


def test_a_damaged_file_among_good_ones_is_skipped_and_named(tmp_path):
    write_clip(tmp_path / "good.mkv", panning(np.random.default_rng(0), frames=3))
    (tmp_path / "bad.mp4").write_bytes(b"no video at all")
    footage = load_clips(tmp_path, device=CPU)
    assert [clip.name for clip in footage.clips] == ["good.mkv"]
    assert len(footage.skipped) == 1
    assert "bad.mp4" in footage.skipped[0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "No video in the folder"),
        (("notes.txt",), "No video in the folder"),
        (("a.mp4", "b.mkv"), "None of the 2 videos can be used"),
    ],
)
def test_a_folder_without_a_usable_video_is_refused(tmp_path, names, message):
    for name in names:
        (tmp_path / name).write_bytes(b"no video at all")
    with pytest.raises(InputError, match=message) as caught:
        load_clips(tmp_path, device=CPU)
    assert caught.value.hint


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(InputError, match="No such folder") as caught:
        load_clips(tmp_path / "nowhere", device=CPU)
    assert caught.value.hint == "Name a folder of videos"


def test_clips_that_exceed_the_memory_are_refused_before_decoding(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    write_clip(tmp_path / "a.mkv", panning(rng, frames=5))
    write_photo(tmp_path / "a.png", texture(rng, 48, 64))
    (tmp_path / "bad.mp4").write_bytes(b"no video at all")
    picture = 48 * 64 * 3
    monkeypatch.setattr("vfimamba_cli.data.clips.host_bytes", lambda: 5 * picture)
    assert load_clips(tmp_path, device=CPU).nbytes == 5 * picture
    monkeypatch.setattr("vfimamba_cli.data.clips.host_bytes", lambda: 5 * picture - 1)
    assert load_photos(tmp_path, device=CPU).nbytes == picture
    monkeypatch.setattr("vfimamba_cli.data.clips.try_read", lambda path: pytest.fail("decoded"))
    with pytest.raises(InputError, match=r"take about 0\.0 GB, and .* has 0\.0 GB") as caught:
        load_clips(tmp_path, device=CPU)
    assert "fewer" in caught.value.hint


def test_a_clip_of_a_few_pixels_is_skipped(tmp_path):
    rng = np.random.default_rng(0)
    write_clip(tmp_path / "large.mkv", panning(rng, frames=3))
    write_clip(tmp_path / "small.mkv", panning(rng, frames=3, height=16))
    assert "Smaller than 32 pixels: 64 x 16" in load_clips(tmp_path, device=CPU).skipped[0]


def test_a_video_is_split_at_cuts_and_repeated_frames_are_left_out(tmp_path):
    rng = np.random.default_rng(0)
    one, two = panning(rng, frames=4) // 4, 255 - panning(rng, frames=3) // 4
    write_clip(tmp_path / "a.mkv", np.concatenate((one[:2], one[1:], two)))
    first, second = load_clips(tmp_path, device=CPU).clips
    assert (first.name, second.name) == ("a.mkv shot 1", "a.mkv shot 2")
    assert np.array_equal(first.frames.permute(0, 2, 3, 1).numpy(), one)
    assert np.array_equal(second.frames.permute(0, 2, 3, 1).numpy(), two)


@pytest.mark.parametrize("step", [0, 2, 6])
def test_speed_is_about_the_motion_per_frame(step):
    wide = texture(np.random.default_rng(0), 160, 400, cell=40)
    pixels = np.stack([wide[:, step * i : step * i + 240] for i in range(6)])
    speed = make_clip("a", pixels, CPU, CPU).speed
    assert step / 2 <= speed <= 2 * step


def test_change_is_found_where_it_is():
    pixels = np.zeros((2, 64, 96, 3), np.uint8)
    pixels[1, :32, 64:] = 100
    clip = make_clip("a", pixels, CPU, CPU)
    assert clip.change(0, 1, 0, 64, 32) == 100
    assert clip.change(0, 1, 32, 0, 32) == 0
