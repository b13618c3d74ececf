"""Color tags from the source's stream to that of every encoder."""

from dataclasses import replace

import pytest

from tests.lossless import color_of, scene, write_lossless
from tests.writing import double, read
from vfimamba_cli.errors import OutputError
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


def limited_by_rule(tags):
    """Streams of many kinds have no way to leave the range open, and take it as limited."""
    return replace(tags, range=tags.range or 1)


def said_to_change(notes):
    """The tags that notes are about."""
    about = {
        "The tag of the color matrix": {"matrix"},
        "The tag of the color range": {"range"},
        "The color range, which is left open": {"range"},
        "The pictures come to be of": {"range"},
        "The color tags are dropped": {"matrix", "primaries", "transfer", "range"},
    }
    return set().union(*(about[key] for note in notes for key in about if note.startswith(key)))


def changed(before, after):
    """The tags that differ."""
    names = ("matrix", "primaries", "transfer", "range")
    return {name for name in names if getattr(before, name) != getattr(after, name)}


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
        (".ts", "h264", "yuv420p"),
        (".nut", "ffv1", "yuv420p"),
        (".mov", "prores", "yuv422p10le"),
    ],
)
def test_tags_come_out_as_they_went_in_or_are_said_not_to(tmp_path, suffix, codec, name, tags):
    source, target = tmp_path / "in.mkv", tmp_path / f"out{suffix}"
    before, notes = through(source, target, codec, name, tags)
    after = read(target)[0].color
    assert before.tags == tags
    lost = changed(before.tags, after.tags)
    if "The color tags are dropped" in "".join(notes):
        assert lost
        assert lost <= said_to_change(notes)
    else:
        assert lost == said_to_change(notes)
        assert limited_by_rule(after.tags).range in (limited_by_rule(tags).range, 1)
        assert after.matrix == before.matrix or "matrix" in lost
    if notes:
        with pytest.raises(OutputError, match="cannot hold all of"):
            through(source, tmp_path / f"strict{suffix}", codec, name, tags, strict=True)


def through(source, target, codec, name, tags, **options):
    """The source's color, and what is said of it on the way to `target`."""
    still = scene(color_of(name, full_range=tags.range == 2, tags=tags), 64, 64)
    write_lossless(source, [still, still])
    _, writer = double(source, target, codec=codec, preset=None, **options)
    return read(source)[0].color, writer.notes


@pytest.mark.parametrize("suffix", [".gif", ".apng"])
@pytest.mark.parametrize("tags", [ColorTags(primaries=9, transfer=16), ColorTags(range=1)], ids=str)
def test_the_light_of_r_g_b_stays_or_is_said_to_go(tmp_path, suffix, tags):
    still = scene(color_of("yuv420p", tags=tags), 64, 64)
    write_lossless(tmp_path / "in.mkv", [still, still])
    said = []
    interpolate_video(
        tmp_path / "in.mkv",
        tmp_path / f"out{suffix}",
        engine=EngineOptions(model="tiny", device="cpu"),
        announce=said.append,
    )
    found = read(tmp_path / f"out{suffix}")[0].color.tags
    stays = (found.primaries, found.transfer) == (tags.primaries, tags.transfer)
    assert stays != ("The color tags are dropped: gif in GIF does not hold them." in said)


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
