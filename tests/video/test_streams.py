"""What becomes of everything beside the video, in containers that hold it and in others."""

import re
from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition

from tests.clips import audio_packets_hash, make_clip
from tests.rich import CLICKS, LINES, heard_clicks, lines_of, make_rich
from tests.video.test_writer import REAL
from tests.writing import double, read
from vfimamba_cli.errors import OutputError
from vfimamba_cli.video.pyav import open_for_reading


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rich")
    make_rich(folder / "in.mkv", folder)
    return folder / "in.mkv"


def kinds(path):
    return sorted((stream.kind, stream.codec) for stream in read(path)[0].streams)


def described(path):
    """Codec, language, title and disposition of each stream but the video and attached files."""
    with open_for_reading(path) as container:
        return [
            (
                stream.codec_context.codec.canonical_name,
                stream.metadata.get("language"),
                stream.metadata.get("title"),
                stream.disposition,
            )
            for stream in container.streams
            if stream.type in ("audio", "subtitle")
        ]


def packets_of(path, kind):
    with open_for_reading(path) as container:
        return [
            (packet.stream.index, packet.pts, packet.duration, bytes(packet))
            for packet in container.demux([s for s in container.streams if s.type == kind])
            if packet.size
        ]


def chapters(path):
    with av.open(str(path)) as container:
        return [
            (
                float(chapter["start"] * chapter["time_base"]),
                float(chapter["end"] * chapter["time_base"]),
                chapter["metadata"]["title"],
            )
            for chapter in container.chapters()
        ]


def test_matroska_to_matroska_keeps_everything(rich, tmp_path):
    target = tmp_path / "out.mkv"
    _, writer = double(rich, target)
    assert writer.notes == []
    before, after = read(rich)[0], read(target)[0]
    assert len(after.streams) == len(before.streams) == 8
    assert kinds(target) == kinds(rich)
    assert described(target) == described(rich)
    assert audio_packets_hash(target) == audio_packets_hash(rich)
    assert packets_of(target, "subtitle") == packets_of(rich, "subtitle")
    assert len(packets_of(rich, "subtitle")) == sum(map(len, LINES.values()))
    assert chapters(target) == chapters(rich) == [(0, 1, "One"), (1, 2, "Two")]
    assert after.display_matrix == before.display_matrix
    assert (after.rotation, after.sample_aspect_ratio) == (90, Fraction(4, 3))
    assert attached(target) == attached(rich)
    assert len(attached(rich)) == 2
    with av.open(str(target)) as container:
        assert container.metadata["title"] == "Everything"
        assert container.streams.video[0].metadata["title"] == "Pictures"


def attached(path):
    """Names and bytes of the files in a Matroska file, covers among them."""
    with av.open(str(path)) as container:
        files = [
            (stream.metadata["filename"], stream.data) for stream in container.streams.attachments
        ]
        covers = [
            stream
            for stream in container.streams.video
            if stream.disposition & Disposition.attached_pic
        ]
        pictures = [
            (packet.stream.metadata["filename"], bytes(packet))
            for packet in container.demux(covers)
            if packet.size
        ]
    return files + pictures


def test_matroska_to_mp4_makes_the_stated_changes_and_no_others(rich, tmp_path):
    target = tmp_path / "out.mp4"
    _, writer = double(rich, target)
    assert writer.notes == [
        "The subtitle stream 3 (subrip) becomes mov_text: MP4 cannot hold it as it is.",
        "The subtitle stream 4 (ass) becomes mov_text, with less of its styling: "
        "MP4 cannot hold it as it is.",
        "The subtitle stream 5 (hdmv_pgs_subtitle) is dropped: MP4 cannot hold it.",
        "The attachment stream 7 (unknown) is dropped: MP4 holds no attachments.",
        "The subtitle stream 3 (subrip) becomes a default one: in MP4 there always is one.",
    ]
    assert [kind for kind in kinds(target) if kind[0] != "data"] == [
        ("audio", "aac"),
        ("audio", "opus"),
        ("subtitle", "mov_text"),
        ("subtitle", "mov_text"),
        ("video", "h264"),
        ("video", "mjpeg"),
    ]
    assert audio_packets_hash(target) == audio_packets_hash(rich)
    for index in range(2):
        assert plain(lines_of(target, index)) == plain(lines_of(rich, index))
        assert len(lines_of(rich, index)) in (1, 2)
    assert chapters(target) == chapters(rich)
    after = read(target)[0]
    assert after.display_matrix == read(rich)[0].display_matrix
    assert (after.rotation, after.sample_aspect_ratio) == (90, Fraction(4, 3))
    before, after = described(rich)[:4], described(target)
    assert [d[1] for d in after] == [d[1] for d in before] == ["deu", "fra", "eng", "eng"]
    assert [d[3] for d in after] == [0, Disposition.default | Disposition.comment, 1, 0]
    assert [d[3] for d in before] == [0, Disposition.default | Disposition.comment, 0, 0]
    with av.open(str(target)) as container:
        assert container.metadata["title"] == "Everything"


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".webm", ".ts", ".nut", ".avi"])
def test_a_tag_stays_or_is_said_to_go(rich, tmp_path, suffix):
    source, target = tmp_path / "in.mkv", tmp_path / f"out{suffix}"
    told = {"title": "A film", "DIRECTOR": "Someone", "artist": "Another"}
    remark(rich, source, {}, told, {"SHOT_BY": "Anyone"})
    _, writer = double(source, target, preset="8" if suffix == ".webm" else "ultrafast")
    with open_for_reading(source) as old, open_for_reading(target) as new:
        pairs = [("the file", old.metadata, new.metadata)] + [
            (f"the {kind} stream {one.index} ", one.metadata, other.metadata)
            for kind in ("video", "audio")
            for one, other in zip(
                getattr(old.streams, kind), getattr(new.streams, kind), strict=True
            )
        ]
        assert len(pairs) == 4
        for name, before, after in pairs:
            there = set(after.values())
            said = "".join(note for note in writer.notes if f"Tags of {name}" in note)
            for key in ("title", "DIRECTOR", "ARTIST", "SHOT_BY", "language"):
                if key in before and before[key] != "und":
                    assert (before[key] in there) != (key in said), (name, key, said)


MARKS = ("dub", "original", "comment", "forced", "hearing_impaired", "visual_impaired")


@pytest.mark.parametrize("mark", [*MARKS, "default"])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".webm", ".ts", ".nut", ".avi"])
def test_a_mark_of_a_stream_stays_or_is_said_to_go(rich, tmp_path, suffix, mark):
    source, target = tmp_path / "in.mkv", tmp_path / f"out{suffix}"
    remark(rich, source, {1: mark, 3: mark})
    _, writer = double(source, target, preset="8" if suffix == ".webm" else "ultrafast")
    after = described(target)
    for name, place in (("audio stream 1 (aac)", 0), ("subtitle stream 3 (subrip)", 2)):
        said = [note for note in writer.notes if name in note]
        if not any("dropped" in note for note in said):
            gone = f"is not marked as {mark.replace('_', ' ')} any more"
            stays = bool(Disposition[mark] & after[place][3])
            assert stays != any(gone in note for note in said)


@pytest.mark.parametrize(
    ("suffix", "first_ones"), [(".mkv", 0), (".mp4", 1), (".mov", 1), (".nut", 0)]
)
def test_a_container_that_makes_streams_default_ones_is_said_to(rich, tmp_path, suffix, first_ones):
    source, target = tmp_path / "in.mkv", tmp_path / f"out{suffix}"
    remark(rich, source, {})
    _, writer = double(source, target)
    assert [found[3] for found in described(source)] == [0] * 4
    defaults = [bool(found[3] & Disposition.default) for found in described(target)]
    assert defaults[:3] == [bool(first_ones), False, bool(first_ones)]
    said = [note for note in writer.notes if "becomes a default one" in note]
    assert len(said) == 2 * first_ones
    if first_ones:
        with pytest.raises(OutputError, match=r"audio stream 1 \(aac\) becomes a default one"):
            double(source, tmp_path / f"strict{suffix}", strict=True)


def test_nothing_is_said_of_the_marks_of_the_only_picture_and_sound(tmp_path):
    make_clip(tmp_path / "in.ts")
    _, writer = double(tmp_path / "in.ts", tmp_path / "out.mp4", strict=True)
    assert writer.notes == []
    _, writer = double(tmp_path / "out.mp4", tmp_path / "out.ts")
    assert not any("mark" in note for note in writer.notes)


def remark(source, target, marks, told=None, told_of_streams=None):
    """A copy of the video, sounds and text of a file with new marks on the streams, and tags."""
    with open_for_reading(source) as old, av.open(str(target), "w") as new:
        streams = list(old.streams)[:5]
        copies = [new.add_stream_from_template(stream, opaque=True) for stream in streams]
        for index, copy in enumerate(copies):
            copy.disposition = Disposition[marks[index]] if index in marks else Disposition(0)
            copy.metadata.update({**streams[index].metadata, **(told_of_streams or {})})
        new.metadata.update(told or {})
        for moved in (moved for moved in old.demux(streams) if moved.size):
            moved.stream = copies[moved.stream_index]
            new.mux(moved)


def plain(lines):
    """Lines without the codes of their styling."""
    return [(start, end, re.sub(r"{.*?}", "", words)) for start, end, words in lines]


def test_webm_gets_opus_and_webvtt(rich, tmp_path):
    target = tmp_path / "out.webm"
    _, writer = double(rich, target, preset="8")
    assert "The audio stream 1 (aac) becomes opus: WebM cannot hold it as it is." in writer.notes
    assert kinds(target) == [
        ("audio", "opus"),
        ("audio", "opus"),
        ("subtitle", "webvtt"),
        ("subtitle", "webvtt"),
        ("video", "vp9"),
    ]
    assert audio_packets_hash(target)[1] == audio_packets_hash(rich)[1]
    assert [line[:2] for line in lines_of(target)] == [(0.2, 0.8), (1.1, 1.6)]


@pytest.mark.parametrize(("suffix", "index"), [(".mov", 1), (".webm", 0)])
def test_sound_encoded_anew_stays_in_sync(rich, tmp_path, suffix, index):
    target = tmp_path / f"out{suffix}"
    double(rich, target, preset="8" if suffix == ".webm" else "ultrafast")
    np.testing.assert_allclose(heard_clicks(rich, index), CLICKS, atol=0.003)
    np.testing.assert_allclose(heard_clicks(target, index), CLICKS, atol=0.003)


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mov", ".ts", ".nut", ".avi"])
def test_strict_refuses_what_does_not_fit_before_any_file_is_there(rich, tmp_path, suffix):
    target = tmp_path / f"out{suffix}"
    with pytest.raises(OutputError, match="cannot hold all of") as caught:
        double(rich, target, preset=None, strict=True)
    assert "hdmv_pgs_subtitle" in str(caught.value)
    assert "--strict" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_strict_is_content_where_all_fits(rich, tmp_path):
    double(rich, tmp_path / "out.mkv", strict=True)


@pytest.mark.parametrize("suffix", [".ts", ".nut", ".mov"])
def test_other_containers_hold_the_sound_and_the_frame_times(rich, tmp_path, suffix):
    target = tmp_path / f"out{suffix}"
    times, _ = double(rich, target)
    info, frames = read(target)
    assert [stream.kind for stream in info.streams].count("audio") == 2
    shift = frames[0].pts_seconds - times[0]
    inexact = Fraction(1, 90_000) if suffix == ".ts" else 0
    errors = [abs(f.pts_seconds - shift - time) for f, time in zip(frames, times, strict=True)]
    assert max(errors) <= inexact
    start = float(shift)
    for index in range(2):
        clicks = np.array(heard_clicks(target, index))
        offset = first_picture(target) if suffix == ".ts" else start
        np.testing.assert_allclose(clicks - offset, CLICKS, atol=0.003)


def first_picture(path):
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).time


@pytest.mark.parametrize(
    ("name", "suffix", "said"),
    [
        ("sample_with_vobsub.mkv", ".mov", "(dvd_subtitle) is dropped: MOV cannot hold it"),
        ("sample_with_vtt_subtitles.mkv", ".mkv", "(unknown) is dropped: Matroska"),
        ("test_video.mkv", ".mp4", "(ass) becomes mov_text"),
        ("nasa_13013.mp4", ".mkv", "(mov_text) becomes subrip"),
        ("sample_twos_pcm.mp4", ".ts", "(pcm_s16be) becomes aac"),
        ("h265_with_metadata_track.mp4", ".mkv", "The data stream 0"),
        ("three_sounds.mkv", ".webm", "(flac) becomes opus"),
    ],
)
def test_real_files_say_what_their_new_container_cannot_hold(tmp_path, name, suffix, said):
    if not REAL.is_dir():
        pytest.skip(f"no real footage at {REAL}")
    preset = "8" if suffix == ".webm" else "ultrafast"
    _, writer = double(REAL / name, tmp_path / f"out{suffix}", preset=preset)
    assert any(said in note for note in writer.notes), writer.notes
