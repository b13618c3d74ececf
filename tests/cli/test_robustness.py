"""Odd names, disks that fill up, encoders that fail: a cause, an exit code, no file, no hang."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.clips import make_clip, read_frames
from vfimamba_cli.cli.app import app

WATCHDOG_SECONDS = 120
LARGE = ("--crf", "0", "--preset", "ultrafast")
TINY = ("--model", "tiny", "--device", "cpu")


def run(*arguments):
    """The command, in this process; what it ends with and says."""
    done = CliRunner().invoke(app, ["interpolate", *TINY, *map(str, arguments)])
    assert isinstance(done.exception, SystemExit | None), done.exception
    return done.exit_code, done.stderr


def run_watched(*arguments, code="", before=None):
    """The command in a process of its own, which must end, after `code`; the same."""
    start = f"{code}\nfrom vfimamba_cli.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", start, "interpolate", *map(str, arguments), *TINY],
        capture_output=True,
        text=True,
        timeout=WATCHDOG_SECONDS,
        preexec_fn=before,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


NAMES = [
    "with space.mp4",
    'it\'s "quoted".mp4',
    "Ünïcødé 動画 🎞.mp4",
    "100%05d [x] {y} $HOME `z`.mp4",
    "back\\slash*?.mp4",
    "line\nbreak.mp4",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_taken_as_it_is_for_input_and_output(tmp_path, name):
    (tmp_path / "in").mkdir()
    make_clip(tmp_path / "plain.mp4", frames=2, size=(64, 48))
    source, target = tmp_path / "in" / name, tmp_path / name
    shutil.move(tmp_path / "plain.mp4", source)
    code, said = run(source, "-o", target)
    assert code == 0, said
    assert len(read_frames(target)) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in", name])


def test_a_leading_dash_in_the_output_is_part_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "in.mp4", frames=2, size=(64, 48))
    code, said = run("in.mp4", "--output=-out.mp4")
    assert code == 0, said
    assert len(read_frames(tmp_path / "-out.mp4")) == 4


def test_a_read_only_folder_is_named_and_nothing_is_computed(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=2, size=(64, 48))
    with closed(tmp_path / "closed") as folder:
        code, said = run(tmp_path / "in.mp4", "-o", folder / "out.mp4", "--model", "none")
        assert list(folder.iterdir()) == []
    assert code == 4
    assert "Cannot write here" in said
    assert f"nothing may be added to {folder}" in said


@contextmanager
def closed(folder):
    """A folder that nothing can be written to, not even by root."""
    if os.geteuid() == 0:
        with small_disk(folder, kilobytes=64, more="ro") as disk:
            yield disk
    else:
        folder.mkdir(mode=0o500)
        yield folder


def test_output_that_equals_input_is_refused_and_the_input_untouched(tmp_path):
    source = tmp_path / "in.mp4"
    make_clip(source, frames=2, size=(64, 48))
    before = source.read_bytes()
    for same in (source, tmp_path / "." / "in.mp4", tmp_path / ".." / tmp_path.name / "in.mp4"):
        code, said = run(source, "-o", same, "--yes")
        assert code == 4
        assert "same file" in said
    assert source.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_disk_that_fills_up_half_way_is_named_and_left_empty(tmp_path, suffix):
    make_clip(tmp_path / "in.mp4", frames=24, size=(128, 96))
    with small_disk(tmp_path / "disk", kilobytes=64) as disk:
        code, said = run_watched(tmp_path / "in.mp4", "-o", disk / f"out{suffix}", *LARGE)
        left = list(disk.iterdir())
    assert code == 4, said
    assert "No space left on device" in said
    assert left == []


@contextmanager
def small_disk(folder, *, kilobytes, more="rw"):
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"{more},size={kilobytes}k", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_file_that_may_not_grow_is_named_and_removed(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=24, size=(128, 96))

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))

    code, said = run_watched(tmp_path / "in.mp4", "-o", tmp_path / "out.mp4", *LARGE, before=limit)
    assert code == 4, said
    assert "Writing failed (File too large)" in said
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


FAILING_ENCODER = """
import av
import vfimamba_cli.video.writer as writer
whole, calls = writer.encodable, []
def encodable(*arguments):
    calls.append(1)
    if len(calls) > 5:
        raise av.error.ExternalError(1, "Generic error in an external library")
    return whole(*arguments)
writer.encodable = encodable
"""


def test_an_encoder_that_fails_half_way_ends_the_run(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=8, size=(64, 48))
    code, said = run_watched(tmp_path / "in.mp4", "-o", tmp_path / "out.mp4", code=FAILING_ENCODER)
    assert code == 4, said
    assert "Writing failed (Generic error in an external library)" in said
    assert "out.mp4" in said
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_an_old_output_survives_a_run_that_fails(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=8, size=(64, 48))
    (tmp_path / "out.mp4").write_bytes(b"old")
    target = tmp_path / "out.mp4"
    code, _ = run_watched(tmp_path / "in.mp4", "-o", target, "--yes", code=FAILING_ENCODER)
    assert code == 4
    assert target.read_bytes() == b"old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full to write to")
def test_standard_output_that_is_full_is_an_error_in_a_line(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=2, size=(64, 48))
    command = [sys.executable, "-m", "vfimamba_cli", "info", str(tmp_path / "in.mp4")]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 4
    assert done.stderr.startswith("error: Standard output cannot be written (No space left")
    assert "Traceback" not in done.stderr
