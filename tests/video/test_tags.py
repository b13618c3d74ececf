"""Color tags from the source's stream to that of every encoder."""

from dataclasses import replace

import pytest

from tests.lossless import color_of, scene, write_lossless
from tests.video.test_writer import double, read
from vfimamba_cli.frame import ColorTags
from vfimamba_cli.pipeline import interpolate_video
from vfimamba_cli.pipeline.options import EngineOptions
from vfimamba_cli.video.options import WriteOptions

TAGS = [
    ColorTags(matrix=1, primaries=1, transfer=1, range=1),
    ColorTags(matrix=1, primaries=1, transfer=11, range=1),
    ColorTags(matrix=1, primaries=1, transfer=13, range=2),
    ColorTags(matrix=4, primaries=4, transfer=4, range=1),
    ColorTags(matrix=5, primaries=5, transfer=6, range=1),
    ColorTags(matrix=6, primaries=6, transfer=6, range=2),
    ColorTags(matrix=7, primaries=7, transfer=7, range=1),
    ColorTags(matrix=8, primaries=1, transfer=13, range=2),
    ColorTags(matrix=9, primaries=9, transfer=16, range=1),
    ColorTags(matrix=9, primaries=9, transfer=18, range=1),
    ColorTags(matrix=10, primaries=9, transfer=14, range=1),
    ColorTags(primaries=1, range=1),
    ColorTags(range=1),
    ColorTags(range=2),
    ColorTags(matrix=1),
    ColorTags(),
]
VP9_LACKS = {4, 8, 10}


def limited_by_rule(tags):
    """Streams of many kinds have no way to leave the range open, and take it as limited."""
    return replace(tags, range=tags.range or 1)


@pytest.mark.parametrize("tags", TAGS, ids=str)
@pytest.mark.parametrize(
    ("suffix", "codec", "name"),
    [
        (".mp4", "h264", "yuv420p"),
        (".mkv", "h264", "yuv420p"),
        (".mov", "h265", "yuv420p10le"),
        (".mkv", "h265", "yuv420p10le"),
        (".mp4", "av1", "yuv420p10le"),
        (".webm", "vp9", "yuv420p"),
        (".mkv", "ffv1", "yuv420p"),
    ],
)
def test_tags_come_out_as_they_went_in(tmp_path, suffix, codec, name, tags):
    if codec == "vp9" and tags.matrix in VP9_LACKS:
        pytest.skip("has no code for this matrix, which is said")
    still = scene(color_of(name, full_range=tags.range == 2, tags=tags), 64, 64)
    source, target = tmp_path / "in.mkv", tmp_path / f"out{suffix}"
    write_lossless(source, [still, still])
    double(source, target, codec=codec, preset=None)
    before, after = (read(path)[0].color for path in (source, target))
    assert before.tags == tags
    assert limited_by_rule(after.tags) == limited_by_rule(tags)
    assert (after.matrix, after.full_range) == (before.matrix, before.full_range)


def test_a_matrix_that_the_codec_has_no_code_for_is_said_to_lose_its_tag(tmp_path):
    still = scene(color_of("yuv420p", tags=ColorTags(matrix=4)), 64, 64)
    write_lossless(tmp_path / "in.mkv", [still, still])
    _, writer = double(tmp_path / "in.mkv", tmp_path / "out.webm", codec="vp9", preset=None)
    assert "The tag of the color matrix, 4, is lost: VP9 has none." in writer.notes


def test_full_range_becomes_limited_where_the_codec_knows_no_other(tmp_path):
    """What is seen stays; ProRes has no place for the range."""
    tags = ColorTags(matrix=1, primaries=1, transfer=1, range=2)
    color = color_of("yuv422p10le", matrix="bt709", full_range=True, tags=tags)
    still = scene(color, 64, 64)
    write_lossless(tmp_path / "in.mkv", [still, still])
    interpolate_video(
        tmp_path / "in.mkv",
        tmp_path / "out.mov",
        engine=EngineOptions(model="tiny", device="cpu"),
        writing=WriteOptions(codec="prores"),
    )
    info, frames = read(tmp_path / "out.mov")
    assert info.color.tags == replace(tags, range=1)
    assert not info.color.full_range
    brightness = still.planes[0].mean() / 1023, (frames[0].planes[0].mean() - 64) / 876
    assert brightness[0] == pytest.approx(brightness[1], abs=0.002)
