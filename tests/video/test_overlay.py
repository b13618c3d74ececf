from fractions import Fraction

import av
import numpy as np
import pytest

from tests.clips import even_times, make_clip, make_picture, pan_planes
from tests.stand_in import Noise
from vfimamba_cli.errors import InputError
from vfimamba_cli.frame import ColorSpec, Frame
from vfimamba_cli.pipeline import interpolate_video
from vfimamba_cli.pipeline.frames import FrameMaker
from vfimamba_cli.pipeline.options import EngineOptions, PictureOptions
from vfimamba_cli.video.options import WriteOptions
from vfimamba_cli.video.overlay import Mask, find_bars
from vfimamba_cli.video.reader import VideoReader
from vfimamba_cli.video.repeats import singly
from vfimamba_cli.video.timeline import MultiplyRate

WIDTH, HEIGHT = 64, 48


def frame(index, *, top=0, bottom=0, left=0, right=0, subsampling="420", noise=0):
    planes = [p.copy() for p in pan_planes(index, WIDTH, HEIGHT, f"yuv{subsampling}p")]
    for plane, black in zip(planes, (16, 128, 128), strict=True):
        down, across = HEIGHT // plane.shape[0], WIDTH // plane.shape[1]
        plane[: top // down] = plane[len(plane) - bottom // down :] = black
        plane[:, : left // across] = plane[:, plane.shape[1] - right // across :] = black
    planes[0][0, 0] += noise
    return Frame(
        planes=tuple(planes),
        pts_seconds=Fraction(index, 24),
        duration_seconds=Fraction(1, 24),
        color=ColorSpec(matrix="bt709", subsampling=subsampling),
    )


def made_between(first, second, **options):
    """What comes out half-way where the network makes nothing but noise."""
    maker = FrameMaker(Noise(), MultiplyRate(Fraction(2), even_times(2)), **options)
    return list(maker.frames(singly([(first, "cut"), (second, "motion")])))[1]


@pytest.mark.parametrize("subsampling", ["420", "422", "444"])
def test_bars_stay_exactly_as_they_are(subsampling):
    sides = {"top": 6, "bottom": 8, "left": 4, "right": 2}
    first, second = (frame(i, **sides, subsampling=subsampling) for i in range(2))
    made = made_between(first, second)
    for plane, black in zip(made.planes, (16, 128, 128), strict=True):
        h, w = plane.shape
        inside = plane[6 * h // HEIGHT : h - 8 * h // HEIGHT, 4 * w // WIDTH : w - 2 * w // WIDTH]
        assert plane.size - inside.size == (plane == black).sum() - (inside == black).sum()
    inside = made.planes[0][6:-8, 4:-2]
    assert (inside != first.planes[0][6:-8, 4:-2]).mean() > 0.9


def test_bars_are_those_of_both_frames_within_what_encoding_leaves():
    bars = find_bars(frame(0, top=6, bottom=2), frame(1, top=4, bottom=2, noise=2))
    assert (bars.top, bars.bottom, bars.left, bars.right) == (4, 2, 0, 0)
    assert find_bars(frame(0, top=6), frame(1)) is None
    assert find_bars(frame(0), frame(1)) is None


def test_a_mask_keeps_what_it_covers_and_nothing_else():
    weight = np.zeros((HEIGHT, WIDTH), np.float32)
    weight[30:41, 10:51] = 1
    weight[2:6, 2:6] = 0.5
    first, second = frame(0), frame(1)
    torch_seed()
    plain = made_between(first, second)
    torch_seed()
    made = made_between(first, second, mask=Mask(weight))
    luma, source, free = (f.planes[0].astype(int) for f in (made, first, plain))
    np.testing.assert_array_equal(luma[30:41, 10:51], source[30:41, 10:51])
    assert np.abs(luma[2:6, 2:6] - (source + free)[2:6, 2:6] / 2).max() <= 0.5
    for chroma, original in zip(made.planes[1:], first.planes[1:], strict=True):
        np.testing.assert_array_equal(chroma[15:21, 5:26], original[15:21, 5:26])
    weight[...] = np.where(weight > 0, 0, 1)
    np.testing.assert_array_equal(luma[weight > 0], free[weight > 0])


def torch_seed():
    import torch

    torch.manual_seed(0)


def write_png(path, picture):
    with av.open(str(path), "w", format="image2", container_options={"update": "1"}) as container:
        stream = container.add_stream("png")
        stream.height, stream.width = picture.shape
        stream.pix_fmt = "gray"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray")))
        container.mux(stream.encode(None))


def test_a_mask_is_read_from_a_picture(tmp_path):
    picture = np.zeros((HEIGHT, WIDTH), np.uint8)
    picture[4:9, 7:20], picture[30, 30] = 255, 51
    write_png(tmp_path / "mask.png", picture)
    mask = Mask.read(tmp_path / "mask.png", height=HEIGHT, width=WIDTH)
    np.testing.assert_allclose(mask.weight, picture / 255, atol=1e-6)


def test_a_mask_of_another_size_or_none_at_all_is_refused(tmp_path):
    write_png(tmp_path / "mask.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(InputError, match=r"64x48 and the video 128x96.*mask\.png"):
        Mask.read(tmp_path / "mask.png", height=96, width=128)
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(InputError, match=r"cannot be read as a picture.*text\.png"):
        Mask.read(tmp_path / "text.png", height=HEIGHT, width=WIDTH)


def letterboxed(path, frames=4):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 24, options={"crf": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for i in range(frames):
            planes = list(frame(i, top=6, bottom=6).planes)
            planes[0][38:42, 4:60] = 235  # a subtitle in the picture
            container.mux(stream.encode(make_picture(planes, "yuv420p")))
        container.mux(stream.encode(None))


def test_bars_and_subtitles_in_the_picture_stay_through_the_whole_tool(tmp_path):
    letterboxed(tmp_path / "in.mkv")
    picture = np.zeros((HEIGHT, WIDTH), np.uint8)
    picture[38:42, 4:60] = 255
    write_png(tmp_path / "mask.png", picture)
    interpolate_video(
        tmp_path / "in.mkv",
        tmp_path / "out.mkv",
        pictures=PictureOptions(mask=tmp_path / "mask.png"),
        engine=EngineOptions(model="tiny", device="cpu"),
        writing=WriteOptions(crf=0),
    )
    with VideoReader(tmp_path / "out.mkv") as reader:
        frames = list(reader.frames())
    assert len(frames) == 8
    for made in frames:
        luma = made.planes[0]
        assert (luma[:6] == 16).all()
        assert (luma[-6:] == 16).all()
        assert (made.planes[1][:3] == 128).all()
        assert (luma[38:42, 4:60] == 235).all()


def test_a_mask_that_does_not_fit_is_refused_before_any_work(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=2, size=(32, 32))
    write_png(tmp_path / "mask.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    pictures = PictureOptions(mask=tmp_path / "mask.png")
    with pytest.raises(InputError, match="the video 32x32"):
        interpolate_video(tmp_path / "in.mp4", tmp_path / "out.mp4", pictures=pictures)


def test_a_black_frame_has_the_bars_of_the_other():
    bars = find_bars(frame(0, top=HEIGHT), frame(1, top=4, bottom=6))
    assert (bars.top, bars.bottom, bars.left, bars.right) == (4, 6, 0, 0)
