"""Video through standard input and output: nothing but data there."""

import subprocess
import sys

import av
import pytest

from tests.clips import audio_packets_hash, make_clip
from vfimamba_cli.errors import OptionError, OutputError
from vfimamba_cli.pipeline.describe import describe_plan
from vfimamba_cli.pipeline.options import PictureOptions, TimeOptions
from vfimamba_cli.video.containers import PIPE
from vfimamba_cli.video.options import WriteOptions

TINY = ("--model", "tiny", "--device", "cpu")


def piped(*arguments, data=b"", output=subprocess.PIPE):
    return subprocess.run(
        [sys.executable, "-m", "vfimamba_cli", "interpolate", *map(str, arguments), *TINY],
        input=data,
        stdout=output,
        stderr=subprocess.PIPE,
        timeout=120,
    )


def test_matroska_goes_through_a_pipe_with_its_sound(tmp_path):
    make_clip(tmp_path / "in.mkv", frames=4, size=(64, 48))
    done = piped("-", "-o", "-", data=(tmp_path / "in.mkv").read_bytes())
    assert done.returncode == 0, done.stderr
    (tmp_path / "out.mkv").write_bytes(done.stdout)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.format.name.startswith("matroska")
        frames = list(container.decode(video=0))
    assert [round(frame.time * 48) for frame in frames] == list(range(8))
    assert audio_packets_hash(tmp_path / "out.mkv") == audio_packets_hash(tmp_path / "in.mkv")
    assert b"4 -> 8 frames" in done.stderr


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le"])
def test_y4m_goes_out_as_plain_pictures_and_comes_in_again(tmp_path, pix_fmt):
    make_clip(tmp_path / "in.mp4", frames=3, size=(64, 48), pix_fmt=pix_fmt, audio=False)
    done = piped(tmp_path / "in.mp4", "-o", "-", "--container", "y4m")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"YUV4MPEG2 W64 H48 F48:1 ")
    assert done.stdout.count(b"FRAME\n") == 6
    again = piped("-", "-o", tmp_path / "out.mkv", "--codec", "ffv1", data=done.stdout)
    assert again.returncode == 0, again.stderr
    with av.open(str(tmp_path / "out.mkv")) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 12
    assert frames[0].format.name == pix_fmt


def test_a_reader_that_goes_away_ends_the_run(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=24, size=(128, 96))
    gone = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    gone.wait()
    options = ("--container", "y4m")
    done = piped(tmp_path / "in.mp4", "-o", "-", *options, output=gone.stdin)
    gone.stdin.close()
    assert done.returncode == 4, done.stderr
    assert b"Broken pipe" in done.stderr
    assert b"Traceback" not in done.stderr


def test_nothing_on_standard_input_is_no_video():
    done = piped("-", "-o", "-")
    assert done.returncode == 3
    assert b"Standard input is empty" in done.stderr
    assert done.stdout == b""


def test_what_is_wrong_on_standard_input_is_said_of_it():
    done = piped("-", "-o", "-", data=b"no video at all")
    assert done.returncode == 3
    assert done.stderr.split(b"\n")[0].endswith(b": standard input")


def plan(source, output, **writing):
    return describe_plan(
        source,
        output,
        time=TimeOptions(),
        pictures=PictureOptions(),
        writing=WriteOptions(**writing),
    )


def test_what_a_pipe_cannot_be_is_refused(tmp_path):
    source = tmp_path / "in.mp4"
    make_clip(source, frames=2, ticks=[0, 1, 5])
    with pytest.raises(OptionError, match="'mp4' is not one of matroska, nut, y4m"):
        plan(source, PIPE, container="mp4")
    with pytest.raises(OptionError, match="--container is for standard output"):
        plan(source, tmp_path / "out.mkv", container="matroska")
    with pytest.raises(OptionError, match="gives the output no name"):
        plan(PIPE, None)
    with pytest.raises(OutputError, match="Y4M holds constant rates only") as caught:
        plan(source, PIPE, container="y4m")
    assert "--fps" in caught.value.hint


def test_sound_that_a_pipe_has_no_place_for_is_a_loss(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=2)
    with pytest.raises(OutputError, match=r"\(aac\) is dropped: Y4M cannot hold it"):
        plan(tmp_path / "in.mp4", PIPE, container="y4m", strict=True)
