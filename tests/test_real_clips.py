"""Every real clip through the whole tool: it comes out right, or is refused for a stated reason.

Frames between others are averages, for nothing here depends on what the network makes of them.
Run it with `make clips`, which prints a table too; it takes some minutes.
"""

import csv
from fractions import Fraction
from pathlib import Path

import pytest

from vfimamba_cli.engine.interpolator import Interpolator
from vfimamba_cli.errors import VfimambaError
from vfimamba_cli.pipeline import default_output, interpolate_video
from vfimamba_cli.pipeline.options import EngineOptions, TimeOptions
from vfimamba_cli.video.options import WriteOptions
from vfimamba_cli.video.reader import VideoReader

SHARED = Path(__file__).resolve().parents[1] / "../shared/data"
CLIPS = sorted((SHARED / "test").iterdir()) if SHARED.is_dir() else []

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
    "sample_with_dts.mkv": "no video stream",
    "truncated.mp4": "cut off",
    "truncated.webm": "cut off",
}
"""Clips that are damaged or hold no video that can be taken as it is, and what is said of them."""

LONG_SECONDS = 2
"""How much is taken of clips of many frames; all of the others."""


pytestmark = [
    pytest.mark.clips,
    pytest.mark.skipif(not CLIPS, reason=f"no real clips at {SHARED}"),
]


@pytest.fixture(autouse=True)
def averages(monkeypatch):
    def between(self, first, second, times):
        for t in times:
            yield first + (second - first) * float(t)

    monkeypatch.setattr(Interpolator, "between", between)


@pytest.fixture(scope="module")
def table():
    rows = []
    yield rows
    print()
    for row in rows:
        print("| " + " | ".join(row) + " |")


@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.name)
def test_a_real_clip_comes_out_right_or_is_refused(path, tmp_path, table):
    if path.name in REFUSED:
        with pytest.raises(VfimambaError, match=".") as caught:
            convert(path, tmp_path)
        assert REFUSED[path.name] in f"{caught.value} {caught.value.hint}"
        assert list(tmp_path.iterdir()) == []
        table.append((path.name, "refused", str(caught.value).replace(str(path), "it")))
        return
    before, target, said, report = convert(path, tmp_path)
    with VideoReader(target) as reader:
        after = reader.info
        count = sum(1 for _ in reader.frames())
    assert count == report.frames.total() == 2 * report.frames["source"]
    tick = after.time_base + Fraction(1, 1000)
    assert abs(after.duration_seconds - before.duration_seconds) <= tick
    assert (after.width, after.height) == (before.width, before.height)
    assert after.display_matrix == before.display_matrix
    assert ratio(after) == ratio(before)
    assert after.color.tags == before.color.tags or "from" in said
    assert kept(target, said) == kept(path, said)
    table.append((path.name, f"{report.frames['source']} to {count}", target.suffix, said))


def convert(path, folder):
    """The source, the file made of it, what was said of losses, and the report."""
    seconds = LONG_SECONDS if frames_of(path) > 130 else None
    with VideoReader(path, end_seconds=seconds) as reader:
        info = reader.info
    target = folder / default_output(path, info.rate * 2).name
    lines = []
    report = interpolate_video(
        path,
        target,
        time=TimeOptions(end_seconds=seconds),
        engine=EngineOptions(model="tiny", device="cpu"),
        writing=WriteOptions(preset="ultrafast"),
        announce=lines.append,
    )
    said = "; ".join(line for line in lines if not line.startswith(("model:", "motion:")))
    return info, target, said, report


def frames_of(path):
    with (SHARED / "index.csv").open(newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    return int(rows[f"test/{path.name}"]["frames"] or 0)
