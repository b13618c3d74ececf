"""Every real clip through the whole tool: it comes out right, or is refused for a stated reason.

Frames between others are averages, for nothing here depends on what the network makes of them.
`make clips` runs it, and prints a table; it takes some minutes.
"""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from vfimamba_cli.engine.interpolator import Interpolator
from vfimamba_cli.errors import VfimambaError
from vfimamba_cli.pipeline import interpolate_video
from vfimamba_cli.pipeline.job import default_output
from vfimamba_cli.pipeline.options import EngineOptions, TimeOptions
from vfimamba_cli.video.codec_choice import default_codec
from vfimamba_cli.video.containers import container_for
from vfimamba_cli.video.options import WriteOptions
from vfimamba_cli.video.reader import VideoReader

CLIPS_FOLDER = Path(__file__).resolve().parents[1] / "../shared/data/test"
CLIPS = sorted(CLIPS_FOLDER.iterdir()) if CLIPS_FOLDER.is_dir() else [CLIPS_FOLDER]

REFUSED = {
    "BA_MW_D_IDR_LOST.264": "pictures could not be decoded",
    "Error_I_P.264": "damaged",
    "empty.mp4": "Not a video that can be opened",
    "interlaced_tff.mp4": "--deinterlace",
    "invalid-bitstream.webm": "damaged",
    "not_a_video.mp4": "Not a video that can be opened",
    "sample_ac3.mp4": "no video stream",
    "sample_eac3.mp4": "no video stream",
    "sample_opus_fragmented.mp4": "no video stream",
    "sample_with_fake_auxiliary_tracks.mp4": "does not come after the one before it",
    "sample_with_pgs_subtitles.mkv": "whole multiples of 1 ms",
    "sample_with_vobsub.mkv": "whole multiples of 1 ms",
    "sample_with_dts.mkv": "no video stream",
    "truncated.mp4": "cut off",
    "truncated.webm": "cut off",
}
"""Clips that are damaged, hold no video, or one that cannot be taken as it is, and what is said:
twice 600 frames a second are too many for Matroska."""

BUDGET = 12_000_000
"""Pixels of which about so many are taken of a clip; of a longer one, its beginning."""

FAST = {"libx264": "ultrafast", "libx265": "ultrafast", "libvpx-vp9": "8", "libsvtav1": "12"}

pytestmark = [
    pytest.mark.clips,
    pytest.mark.skipif(not CLIPS_FOLDER.is_dir(), reason=f"no real clips at {CLIPS_FOLDER}"),
]


@pytest.fixture(autouse=True)
def averages(monkeypatch):
    def between(self, first, second, times):
        for t in times:
            yield first + (second - first) * float(t)

    monkeypatch.setattr(Interpolator, "between", between)


@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.name)
def test_a_real_clip_comes_out_right_or_is_refused(path, tmp_path, capsys):
    if path.name in REFUSED:
        with pytest.raises(VfimambaError) as caught:
            convert(path, tmp_path)
        assert REFUSED[path.name] in f"{caught.value} {caught.value.hint}"
        assert list(tmp_path.iterdir()) == []
        tell(capsys, path.name, "refused", f"{caught.value}".replace(f"{path}", "it"))
        return
    before, target, said, report = convert(path, tmp_path)
    with VideoReader(target) as reader:
        after = reader.info
        count = sum(1 for _ in reader.frames())
    assert count == report.frames.total() == 2 * report.frames["source"]
    tick = max(after.time_base, Fraction(1, 1000))
    assert abs(after.duration_seconds - before.duration_seconds) <= 2 * tick
    assert (after.width, after.height) == (before.width, before.height)
    assert after.display_matrix == before.display_matrix
    assert (after.sample_aspect_ratio or 1) == (before.sample_aspect_ratio or 1)
    assert meant(after.color.tags) == meant(before.color.tags) or "color tags" in said
    formats = {info.pixel_format.replace("yuvj", "yuv") for info in (before, after)}
    assert len(formats) == 1 or " from " in said or formats == {"gray", "yuv420p"}
    assert others(after, said) == others(before, said)
    numbers = f"{report.frames['source']} to {count} frames"
    tell(capsys, path.name, numbers, f"{target.suffix}: {said}")


def convert(path, folder):
    """The source's info, the file made of it, what was said of it, and the report."""
    with VideoReader(path) as reader:
        info = reader.info
    seconds = None
    if info.frame_count * info.width * info.height > BUDGET:
        seconds = max(3, BUDGET // (info.width * info.height)) / info.rate
        with VideoReader(path, end_seconds=seconds) as reader:
            info = reader.info
    target = folder / default_output(path, info.rate * 2).name
    encoder = default_codec(info, container_for(target)).encoder
    lines = []
    report = interpolate_video(
        path,
        target,
        time=TimeOptions(end_seconds=seconds),
        engine=EngineOptions(model="tiny", device="cpu"),
        writing=WriteOptions(preset=FAST.get(encoder)),
        announce=lines.append,
    )
    said = " ".join(line for line in lines if not line.startswith(("model:", "motion:")))
    return info, target, said, report


def meant(tags):
    """The tags, with a range that is not said as what that means."""
    return replace(tags, range=tags.range or 1)


def others(info, said):
    """Kind, codec and language of the other streams, without those of which something is said."""
    return sorted(
        (stream.kind, stream.codec, stream.language.replace("und", ""))
        for stream in info.streams
        if stream.index != info.video_index
        and f"{stream.kind} stream" not in said
        and stream.kind != "data"
    )


def tell(capsys, *cells):
    """A row of the table."""
    with capsys.disabled():
        print("\n| " + " | ".join(cells) + " |", end="")  # noqa: T201
