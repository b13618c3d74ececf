"""A Matroska file with one of everything beside its video, and what a file holds, to compare."""

from fractions import Fraction

import av
import numpy as np
from av.stream import Disposition

from tests.clips import SAMPLE_RATE, make_clip

MILLISECOND = Fraction(1, 1000)
CLICKS = (0.25, 1.0, 1.75)
"""When the sound clicks, in seconds."""

ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, \
Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, \
Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
PGS = bytes.fromhex("16000b004000303000000000000000") + bytes.fromhex("800000")
"""An empty composition, and its end."""

LINES = {
    "subrip": [(200, 600, b"Hello <i>there</i>"), (1100, 500, b"Bye")],
    "ass": [(300, 900, b"0,0,Default,,0,0,0,,{\\b1}Bold{\\b0} words")],
    "hdmv_pgs_subtitle": [(400, None, PGS), (1400, None, PGS)],
}
"""Time and duration in milliseconds, and the bytes of the packets of each kind of subtitle."""


def make_rich(path, folder, *, sounds=("aac", "libopus")):
    """Two seconds of video with two sounds, three subtitles, a font, a cover and two chapters."""
    video = folder / "rich-video.mkv"
    make_clip(video, frames=48, rotation=90, sar=Fraction(4, 3), audio=False, size=(64, 48))
    with av.open(str(video)) as source, av.open(str(path), "w") as target:
        pictures = target.add_stream_from_template(source.streams[0])
        pictures.metadata["title"] = "Pictures"
        tracks = [add_sound(target, name, ("deu", "fra")[i]) for i, name in enumerate(sounds)]
        tracks[1].disposition = Disposition.default | Disposition.comment
        tracks[0].disposition = Disposition(0)
        words = {codec: add_words(target, codec) for codec in LINES}
        target.add_attachment("cover.jpg", "image/jpeg", jpeg())
        target.add_attachment("letters.ttf", "font/ttf", b"letters")
        target.set_chapters([chapter(1, 0, 1000, "One"), chapter(2, 1000, 2000, "Two")])
        target.metadata["title"] = "Everything"
        for moved in (moved for moved in source.demux() if moved.size):
            moved.stream = pictures
            target.mux(moved)
        for track in tracks:
            write_clicks(target, track)
        for codec, stream in words.items():
            for start, duration, data in LINES[codec]:
                target.mux(packet(stream, data, start, duration))


def add_sound(target, encoder, language):
    stream = target.add_stream(encoder, SAMPLE_RATE, layout="stereo")
    stream.metadata.update({"language": language, "title": f"Sound in {language}"})
    return stream


def add_words(target, codec):
    if codec == "ass":
        stream = target.add_stream("ass")
        stream.codec_context.subtitle_header = ASS_HEADER
        stream.codec_context.time_base = MILLISECOND
    else:
        stream = target.add_mux_stream(codec)
    stream.metadata["language"] = "eng"
    return stream


def chapter(number, start, end, title):
    return {
        "id": number,
        "start": start,
        "end": end,
        "time_base": MILLISECOND,
        "metadata": {"title": title},
    }


def packet(stream, data, start, duration):
    made = av.Packet(data)
    made.stream, made.time_base = stream, MILLISECOND
    made.pts = made.dts = start
    if duration:
        made.duration = duration
    return made


def jpeg():
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width = encoder.height = 16
    encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
    picture = av.VideoFrame(16, 16, "yuvj420p")
    for plane in picture.planes:
        np.frombuffer(plane, np.uint8)[:] = 90
    return bytes(encoder.encode(picture)[0])


def write_clicks(target, stream, *, seconds=2.0, clicks=CLICKS):
    """Silence with a loud burst of 10 ms at each of `clicks`."""
    wave = np.zeros((1, 2 * round(seconds * SAMPLE_RATE)), np.int16)
    for click in clicks:
        start = 2 * round(click * SAMPLE_RATE)
        burst = np.where(np.arange(2 * SAMPLE_RATE // 100) // 48 % 2, 20000, -20000)
        wave[0, start : start + burst.size] = burst
    for start in range(0, wave.shape[1] // 2, 960):
        frame = av.AudioFrame.from_ndarray(
            wave[:, 2 * start : 2 * (start + 960)], format="s16", layout="stereo"
        )
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
        target.mux(stream.encode(frame))
    target.mux(stream.encode(None))


def heard_clicks(path, index=0):
    """When the `index`-th sound of a file clicks, in seconds."""
    times = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=index):
            loud = np.abs(frame.to_ndarray().astype(np.float64)).reshape(
                -1, frame.samples * (1 if frame.format.is_planar else frame.layout.nb_channels)
            )
            channels = 1 if frame.format.is_planar else frame.layout.nb_channels
            scale = 1 if frame.format.name.startswith("flt") else 32768
            for at in np.flatnonzero(loud.max(axis=0) > 0.3 * scale) // channels:
                now = frame.time + int(at) / frame.sample_rate
                if not times or now - times[-1] > 0.1:
                    times.append(now)
    return times


def lines_of(path, index=0):
    """Start and end in seconds and the text of each line of the `index`-th subtitle of a file."""
    lines = []
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[index]
        for found in container.demux(stream):
            if not found.size or found.duration is None:
                continue
            for rect in words.rects if (words := stream.codec_context.decode2(found)) else ():
                start = float(found.pts * found.time_base)
                end = start + float(found.duration * found.time_base)
                lines.append((round(start, 3), round(end, 3), rect.dialogue.decode()))
    return lines
