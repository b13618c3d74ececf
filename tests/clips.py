"""Small videos for tests, made on the spot: a moving texture with sound beside it."""

import hashlib
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np

from vfimamba_cli.video.pyav import open_for_reading
from vfimamba_cli.video.timeline import SourceTimes

SAMPLE_RATE = 48_000
TAGS = {"colorspace": 6, "color_primaries": 6, "color_trc": 6, "color_range": 1}
"""What clips are tagged with: BT.601, limited range."""


@cache
def texture(seed, height, width):
    """Smooth noise in [0, 1] with detail of many sizes; another `seed` is another scene."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width))
    for cells in (5, 11, 23, 47):
        grid = rng.random((cells + 2, cells + 2))
        y = np.linspace(0, cells, height)
        x = np.linspace(0, cells, width)
        j, i = y.astype(int), x.astype(int)
        v, u = (y - j)[:, None], x - i
        upper = grid[j][:, i] * (1 - u) + grid[j][:, i + 1] * u
        lower = grid[j + 1][:, i] * (1 - u) + grid[j + 1][:, i + 1] * u
        picture += (upper * (1 - v) + lower * v) / cells**0.7
    return (picture - picture.min()) / np.ptp(picture)


def pan_planes(index, width, height, pix_fmt="yuv420p", *, scene=0, speed=2):
    """Y', Cb, Cr of the `index`-th picture of a pan over one texture per plane."""
    depth = 10 if "10" in pix_fmt else 8
    dtype = np.uint16 if depth == 10 else np.uint8
    chroma_width = width if "444" in pix_fmt else (width + 1) // 2
    chroma_height = (height + 1) // 2 if "420" in pix_fmt else height
    planes = []
    for plane, (h, w) in enumerate(((height, width), *((chroma_height, chroma_width),) * 2)):
        start = (index * speed * w // width) % (3 * w)
        window = texture(10 * scene + plane, h, 4 * w)[:, start : start + w]
        low, high = ((30, 220), (96, 160), (96, 160))[plane]
        planes.append(((low + (high - low) * window) * 2 ** (depth - 8)).round().astype(dtype))
    return planes


def make_picture(planes, pix_fmt):
    height, width = planes[0].shape
    picture = av.VideoFrame(width, height, pix_fmt)
    for target, plane in zip(picture.planes, planes, strict=True):
        lines = np.frombuffer(target, plane.dtype).reshape(target.height, -1)
        lines[:, : plane.shape[1]] = plane
    for name, value in TAGS.items():
        setattr(picture, name, value)
    return picture


def make_clip(
    path,
    *,
    frames=8,
    size=(64, 48),
    rate=24,
    pix_fmt="yuv420p",
    audio=True,
    cut_at=None,
    ticks=None,
    time_base=None,
    speed=2,
    tags=TAGS,
    sar=None,
    rotation=None,
    metadata=None,
    keyframes=250,
):
    """Write a pan over a texture, with a second of sound or as much as there are pictures.

    Args:
        frames: how many; 0 for a file with nothing but sound.
        size: width and height.
        audio: False for none, True for AAC, or the name of an encoder.
        cut_at: index of the first frame of another scene, or several.
        ticks: time of each frame, and at last the end, in `time_base`; evenly at `rate` if None.
        speed: of the pan, in pixels per frame.
        rotation: of the display matrix, in degrees.
        keyframes: frames from one to the next.
    """
    rate = Fraction(rate)
    cuts = cut_at if isinstance(cut_at, tuple) else () if cut_at is None else (cut_at,)
    time_base = time_base or 1 / rate
    uneven = ticks is not None
    ticks = ticks or list(range(frames + 1))
    timescale = {"video_track_timescale": str(time_base.denominator)}
    options = timescale if str(path).endswith((".mp4", ".mov")) else {}
    with av.open(str(path), "w", container_options=options) as container:
        container.metadata.update(metadata or {})
        sound = (
            container.add_stream("aac" if audio is True else audio, SAMPLE_RATE) if audio else None
        )
        if sound:
            sound.metadata["language"] = "deu"
        if frames:
            video = container.add_stream(
                "libx264",
                rate,
                # MP4 keeps the duration of the last picture only if that is decoded last.
                options={
                    "crf": "8",
                    "preset": "ultrafast",
                    "bf": "0" if uneven else "2",
                    "g": str(keyframes),
                },
                width=size[0],
                height=size[1],
                pix_fmt=pix_fmt,
                time_base=time_base,
            )
            for name, value in tags.items():
                setattr(video.codec_context, name, value)
            video.codec_context.flags |= av.codec.context.Flags.frame_duration
            if sar:
                video.codec_context.sample_aspect_ratio = sar
            if rotation is not None:
                video.set_display_rotation(rotation)
            for i in range(frames):
                scene = sum(i >= cut for cut in cuts)
                planes = pan_planes(i, *size, pix_fmt, scene=scene, speed=speed)
                picture = make_picture(planes, pix_fmt)
                picture.pts, picture.duration = ticks[i], ticks[i + 1] - ticks[i]
                picture.time_base = time_base
                container.mux(video.encode(picture))
            container.mux(video.encode(None))
        if sound:
            seconds = ticks[-1] * time_base if frames else Fraction(1)
            write_sound(container, sound, round(seconds * SAMPLE_RATE))


def write_sound(container, stream, samples, block=1024):
    rng = np.random.default_rng(0)
    for start in range(0, samples, block):
        count = min(block, samples - start)
        wave = (rng.standard_normal((1, 2 * count)) * 3000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="stereo")
        frame.sample_rate, frame.pts = SAMPLE_RATE, start
        frame.time_base = Fraction(1, SAMPLE_RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def even_times(count, rate=24):
    """`SourceTimes` of so many frames at a constant rate."""
    rate = Fraction(rate)
    return SourceTimes(
        count=count,
        first_seconds=Fraction(0),
        last_seconds=(count - 1) / rate,
        end_seconds=count / rate,
        tick_seconds=1 / rate,
        rate=rate,
        variable_rate=False,
    )


def read_frames(path):
    """All pictures of the first video stream, decoded by the library alone."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def same_planes(first, second):
    """Whether two frames are the same picture, bit for bit."""
    return all(np.array_equal(a, b) for a, b in zip(first.planes, second.planes, strict=True))


def audio_packets_hash(path):
    """One hash per audio stream over its packets' bytes, and how many there are."""
    with open_for_reading(Path(path)) as container:
        streams = container.streams.audio
        hashes = {stream.index: hashlib.sha256() for stream in streams}
        counts = dict.fromkeys(hashes, 0)
        for packet in container.demux(streams) if streams else ():
            if packet.size:
                hashes[packet.stream_index].update(bytes(packet))
                counts[packet.stream_index] += 1
        return [(counts[index], hashes[index].hexdigest()) for index in hashes]
