"""Tags of a file and its streams, titles and languages among them, that a container cannot hold."""

from collections.abc import Mapping, Sequence
from io import BytesIO

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.container import InputContainer

from vfimamba_cli.video.containers import Container
from vfimamba_cli.video.info import VideoInfo
from vfimamba_cli.video.passthrough import kept_tags
from vfimamba_cli.video.pyav import TAG_BYTES, readable
from vfimamba_cli.video.streams import StreamPlan

Tags = Mapping[str, str]

TECHNICAL = {"filename", "handler_name", "mimetype", "timecode", "vendor_id"}
"""Names of programs, what is a stream of its own in MP4, and what Matroska says of covers."""

RENAMED = {"title": "name"}
"""What they call the title of a stream."""


def losses_of_metadata(
    source: InputContainer, plans: Sequence[StreamPlan], info: VideoInfo, container: Container
) -> list[str]:
    """A sentence for the file and each stream of it that loses tags in `container`."""
    names, wanted = ["the file"], [said_tags(source.metadata)]
    for stream, plan in zip(source.streams, plans, strict=True):
        if plan.action in ("interpolate", "copy", "encode"):
            codec = info.streams[stream.index].codec
            names.append(f"the {stream.type} stream {stream.index} ({codec})")
            wanted.append(said_tags(stream.metadata))
    found = read_back(container, wanted) if any(wanted) else wanted
    losses = []
    for name, before, after in zip(names, wanted, found, strict=True):
        lost = [key for key, value in before.items() if not is_there(key, value, after)]
        if lost:
            tags = readable(", ".join(lost))
            losses.append(f"Tags of {name} are dropped, which {container.title} has not: {tags}.")
    return losses


def said_tags(metadata: dict[str, str]) -> Tags:
    """Those that tell a person something."""
    return {
        key: value
        for key, value in kept_tags(metadata).items()
        if key.lower() not in TECHNICAL and (key.lower(), value) != ("language", "und") and value
    }


def is_there(key: str, value: str, found: Tags) -> bool:
    """Whether a tag is in `found`, under another name or in other words (a date) perhaps."""
    there = {other.lower(): kept for other, kept in found.items()}
    names = {key.lower(), RENAMED.get(key.lower(), key.lower())} & there.keys()
    return any(there[name] == value or name != "language" for name in names)


def read_back(container: Container, wanted: Sequence[Tags]) -> list[Tags]:
    """What is left of tags, the file's and then each stream's, in a file of that kind.

    One is written, into memory: muxers do not say what they leave out. A moment of silence stands
    for every stream.
    """
    if container.only:
        return [{} for _ in wanted]
    memory = BytesIO()
    of_file, *of_streams = wanted
    encoder = "libopus" if container.sound == "libopus" else "aac"
    with av.open(memory, "w", format=container.name, **TAG_BYTES) as trial:
        trial.metadata.update(of_file)
        streams = [trial.add_stream(encoder, 48_000, layout="mono") for _ in of_streams]
        for stream, tags in zip(streams, of_streams, strict=True):
            stream.metadata.update(tags)
        for stream in streams:
            silence = AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), "fltp", "mono")
            silence.sample_rate, silence.pts = 48_000, 0
            trial.mux(stream.encode(silence))
            trial.mux(stream.encode(None))
    memory.seek(0)
    with av.open(memory, "r", format=container.name, **TAG_BYTES) as trial:
        return [trial.metadata, *(stream.metadata for stream in trial.streams)]
