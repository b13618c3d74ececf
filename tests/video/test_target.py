"""Where an output goes: whole or not at all, under its own name, beside all that is there."""

import os
from contextlib import ExitStack
from errno import EACCES
from pathlib import Path

import pytest

from tests.clips import make_clip, read_frames
from tests.writing import double, read, unchanged
from vfimamba_cli.errors import OutputError
from vfimamba_cli.video.options import WriteOptions
from vfimamba_cli.video.reader import VideoReader
from vfimamba_cli.video.target import check_target, part_file
from vfimamba_cli.video.writer import VideoWriter


def test_the_file_appears_under_its_name_only_when_it_is_whole(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=3)
    with VideoReader(tmp_path / "in.mp4") as reader:
        info, frames = reader.info, list(reader.frames())
        with VideoWriter(tmp_path / "out.mp4", info=info, timing=unchanged(info)) as writer:
            writer.write(frames[0])
            assert {path.name for path in tmp_path.iterdir()} == {"in.mp4", "out.mp4.part"}
            writer.write(frames[1])
            writer.write(frames[2])
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4", "out.mp4"}
    assert len(read_frames(tmp_path / "out.mp4")) == 3


@pytest.mark.parametrize("source", ["in.mp4", "out.mp4.part"])
def test_what_is_there_under_the_temporary_name_is_left_alone_even_the_source(tmp_path, source):
    target, bystander = tmp_path / "out.mp4", tmp_path / "out.mp4.part"
    make_clip(tmp_path / "in.mp4", frames=2)
    bystander.write_bytes((tmp_path / "in.mp4").read_bytes())
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    double(tmp_path / source, target)
    assert len(read_frames(target)) == 4
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path != target} == before


def test_two_runs_do_not_share_a_temporary_file_and_end_in_any_order(tmp_path):
    target = tmp_path / "out.mp4"
    with ExitStack() as first, ExitStack() as second:
        one, other = (runs.enter_context(part_file(target)) for runs in (first, second))
        assert one != other
        assert one.name == "out.mp4.part"
        with pytest.raises(OutputError, match="exist already"), part_file(target):
            pass
        one.write_text("one")
        first.close()
        with part_file(target) as third:  # under the first one's name, which is free again
            third.write_text("third")
        other.write_text("other")
    assert target.read_text() == "other"
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_a_temporary_file_of_another_run_outlives_the_end_of_this_one(tmp_path):
    target = tmp_path / "out.mp4"
    with part_file(target) as part:
        with pytest.raises(ValueError, match="bug"), part_file(target):
            raise ValueError("bug")
        assert part.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OutputError("disk full"), ValueError("bug")])
@pytest.mark.parametrize("there_before", [False, True])
def test_after_any_error_nothing_is_left_and_an_old_file_is_untouched(
    tmp_path, error, there_before
):
    make_clip(tmp_path / "in.mp4", frames=3)
    target = tmp_path / "out.mp4"
    if there_before:
        target.write_bytes(b"old")
    with VideoReader(tmp_path / "in.mp4") as reader:
        info = reader.info
        with (
            pytest.raises(error if isinstance(error, type) else type(error)),
            VideoWriter(
                target, info=info, timing=unchanged(info), options=WriteOptions(overwrite=True)
            ) as writer,
        ):
            writer.write(next(reader.frames()))
            raise error
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4"} | (
        {"out.mp4"} if there_before else set()
    )
    assert not there_before or target.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("in.mp4", "Output and input are the same file"),
        ("hard.mp4", "Output and input are the same file"),
        ("soft.mp4", "Output and input are the same file"),
        ("there.mp4", "exists already"),
        ("nowhere/out.mp4", "folder does not exist"),
        ("out.xyz", "No container is known for the extension '.xyz'"),
        ("out", "No container is known"),
        ("folder.mp4", "is a folder"),
        ("/proc/out.mp4", "Cannot write here"),
    ],
)
def test_an_output_that_cannot_be_is_refused_with_a_hint(tmp_path, target, message):
    make_clip(tmp_path / "in.mp4", frames=2)
    os.link(tmp_path / "in.mp4", tmp_path / "hard.mp4")
    (tmp_path / "soft.mp4").symlink_to(tmp_path / "in.mp4")
    (tmp_path / "there.mp4").write_bytes(b"precious")
    (tmp_path / "folder.mp4").mkdir()
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(OutputError, match=message) as caught:
        double(tmp_path / "in.mp4", tmp_path / target)
    assert caught.value.hint
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "there.mp4").read_bytes() == b"precious"


def test_a_link_stays_one_and_what_it_points_to_is_written(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    make_clip(tmp_path / "in.mp4", frames=2, audio=False)
    link, there = tmp_path / "link.mp4", tmp_path / "elsewhere" / "there.mp4"
    link.symlink_to(there)
    for _ in range(2):  # it points to nothing at first
        double(tmp_path / "in.mp4", link, overwrite=True)
        assert link.is_symlink()
        assert len(read(there)[1]) == 4
        assert list(there.parent.iterdir()) == [there]
    link.unlink()
    link.symlink_to(tmp_path / "nowhere" / "there.mp4")
    with pytest.raises(OutputError, match=r"folder does not exist: .*/nowhere"):
        double(tmp_path / "in.mp4", link)
    link.unlink()
    link.symlink_to(link)
    double(tmp_path / "in.mp4", link, overwrite=True)  # points to nothing else, and is replaced
    assert len(read(link)[1]) == 4


def test_an_output_name_that_is_too_long_is_refused_with_a_fitting_hint(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=2)
    for length in (300, 248):  # the longer one with `.part` only
        with pytest.raises(OutputError, match=r"\(File name too long\)") as caught:
            double(tmp_path / "in.mp4", tmp_path / f"{'a' * length}.mp4")
        assert caught.value.hint == "Choose a shorter name with --output"


def test_an_output_in_a_folder_that_may_not_be_entered_is_refused(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(EACCES, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(OutputError, match=r"\(Permission denied\): .*out\.mp4") as caught:
        check_target(tmp_path / "out.mp4", tmp_path / "in.mp4", overwrite=False)
    assert "another folder" in caught.value.hint


def test_a_name_with_a_colon_is_a_file_and_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "in.mp4", frames=2)
    double("in.mp4", "12:30.mp4")
    assert len(read_frames(tmp_path / "12:30.mp4")) == 4


def test_an_existing_output_is_replaced_when_told(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=2)
    (tmp_path / "out.mp4").write_bytes(b"old")
    double(tmp_path / "in.mp4", tmp_path / "out.mp4", overwrite=True)
    assert len(read_frames(tmp_path / "out.mp4")) == 4
