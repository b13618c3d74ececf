"""What a muxer is told beside the streams."""

from math import ceil

from vfimamba_cli.video.containers import Container

MIN_MOVIE_TIMESCALE = 90_000
"""Sound starts at a whole tick of the movie, so these must be short."""

FIXED = {
    "apng": {"plays": "0"},
    "webp": {"loop": "0"},
    "yuv4mpegpipe": {"strict": "-1"},
}
"""By name of the container: play for ever; more than 8 bits."""


def muxer_options(container: Container, ticks: int) -> dict[str, str]:
    """Options for video times in `ticks` per second.

    MP4 and MOV need them for exact times; edit lists, in ticks of the movie, get finer ones.
    """
    if container.name not in ("mp4", "mov"):
        return FIXED.get(container.name, {})
    movie_ticks = ticks * ceil(MIN_MOVIE_TIMESCALE / ticks)
    return {"video_track_timescale": str(ticks), "movie_timescale": str(movie_ticks)}
