"""How a video is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Audio = Literal["stretch", "drop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """How a video is written; None leaves the choice to the defaults.

    Attributes:
        container: of `containers.PIPED`, for standard output; the extension says it for files.
        codec: a name from `codecs.CODECS`.
        crf: quality on the codec's own scale, lower is better.
        preset: speed, by the encoder's own names.
        encoder_options: more of the encoder's own options.
        audio: what becomes of sound when the output is slower than the source: `stretch` keeps its
            pitch; `drop` leaves it out, even if the output is not.
        strict: what the container cannot hold as it is makes an error instead of a note.
        overwrite: replace an existing file.
    """

    container: str | None = None
    codec: str | None = None
    crf: float | None = None
    preset: str | None = None
    encoder_options: Mapping[str, str] = field(default_factory=dict)
    audio: Audio = "stretch"
    strict: bool = False
    overwrite: bool = False
