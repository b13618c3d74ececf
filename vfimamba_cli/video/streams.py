"""What becomes of every stream that is not interpolated, decided before the first frame."""

from dataclasses import dataclass, replace
from io import BytesIO
from typing import Literal

import av
from av.codec.codec import Codec, Properties
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition, Stream

from vfimamba_cli.video.containers import Container
from vfimamba_cli.video.info import VideoInfo
from vfimamba_cli.video.options import Audio

CHAPTER_TEXT = "bin_data"
"""How MP4 stores the names of chapters, which are written anew."""

Action = Literal["interpolate", "copy", "encode", "attach", "drop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """What becomes of one stream of the source.

    Attributes:
        index: of the stream.
        action: `encode` turns text into other text, and sound into other sound; `attach` makes a
            file within the file of it.
        encoder: FFmpeg's name, for `encode`.
        loss: for people, a sentence on what the target cannot hold; empty where it holds all.
    """

    index: int
    action: Action
    encoder: str = ""
    loss: str = ""


SAME_SOUND = {
    "aac": "aac",
    "ac3": "ac3",
    "alac": "alac",
    "eac3": "eac3",
    "flac": "flac",
    "mp3": "libmp3lame",
    "opus": "libopus",
}
"""Codec of a sound -> its encoder, where that is a good one. So is that of any PCM."""


def plan_streams(
    source: InputContainer,
    info: VideoInfo,
    container: Container,
    *,
    audio: Audio = "stretch",
    stretched: bool = False,
) -> tuple[StreamPlan, ...]:
    """A plan for each stream of `source`, in its order.

    Args:
        source: to be read from.
        info: of it.
        container: to be written.
        audio: as in `WriteOptions`.
        stretched: whether the output is slower than the source.
    """
    plans = []
    for stream in source.streams:
        plan = _plan(stream, info, container)
        if stream.type == "audio" and audio == "drop":
            plan = StreamPlan(index=stream.index, action="drop")
        elif stream.type == "audio" and stretched and plan.action == "copy":
            codec = stream.codec_context.codec.canonical_name
            same = codec if codec.startswith("pcm_") else SAME_SOUND.get(codec)
            plan = replace(plan, action="encode", encoder=same or container.sound)
        plans.append(plan)
    return tuple(plans)


def _plan(stream: Stream, info: VideoInfo, container: Container) -> StreamPlan:
    index = stream.index
    described = info.streams[index]
    name = f"The {described.kind} stream {index} ({described.codec})"
    if index == info.video_index:
        return StreamPlan(index=index, action="interpolate")
    if described.kind == "attachment" or (container.attachments and is_cover(stream)):
        if container.attachments:
            return StreamPlan(index=index, action="attach")
        loss = f"{name} is dropped: {container.title} holds no attachments."
        return StreamPlan(index=index, action="drop", loss=loss)
    if described.kind == "data" and stream.name == CHAPTER_TEXT:
        return StreamPlan(index=index, action="drop")
    if described.kind == "video" and not is_cover(stream):
        loss = f"{name} is dropped: one video is interpolated, and kept."
        return StreamPlan(index=index, action="drop", loss=loss)
    if can_hold(container, stream):
        return StreamPlan(index=index, action="copy")
    encoder = _other_encoder(stream, container)
    if encoder is None:
        loss = f"{name} is dropped: {container.title} cannot hold it."
        return StreamPlan(index=index, action="drop", loss=loss)
    styling = ", with less of its styling" if described.codec == "ass" else ""
    loss = f"{name} becomes {Codec(encoder, 'w').canonical_name}{styling}: " + (
        f"{container.title} cannot hold it as it is."
    )
    return StreamPlan(index=index, action="encode", encoder=encoder, loss=loss)


def _other_encoder(stream: Stream, container: Container) -> str | None:
    """What codes the same content so that `container` holds it; None if nothing does."""
    context = stream.codec_context
    if context is None:
        return None
    if container.only:
        return None
    if stream.type == "audio":
        return container.sound
    is_text = bool(Properties(context.codec.properties) & Properties.TEXT_SUB)
    return container.text if is_text else None


def can_hold(container: Container, stream: Stream) -> bool:
    """Whether a file of that kind can be started with a copy of `stream` in it.

    A muxer says so only when it writes its header, so it writes one, into memory.
    """
    if is_cover(stream) and not container.covers:
        return False
    if container.only:
        return False
    known = {"audio": container.audio, "subtitle": container.subtitles}.get(stream.type)
    context = stream.codec_context
    if known is not None and (context is None or context.codec.canonical_name not in known):
        return False
    if stream.type == "data" and not container.data:
        return False
    try:
        with av.open(BytesIO(), "w", format=container.name) as trial:
            copy = trial.add_stream_from_template(stream, opaque=True)
            copy.disposition = stream.disposition
            trial.start_encoding()
    except (ValueError, FFmpegError):
        return False
    return True


def is_cover(stream: Stream) -> bool:
    """Whether it is a picture of the whole, like the sleeve of a record."""
    return stream.type == "video" and bool(stream.disposition & Disposition.attached_pic)
