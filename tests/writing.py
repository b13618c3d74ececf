"""Every frame of a video written several times, and what a file holds."""

from fractions import Fraction

from vfimamba_cli.video.options import WriteOptions
from vfimamba_cli.video.reader import VideoReader
from vfimamba_cli.video.timeline import MultiplyRate
from vfimamba_cli.video.writer import VideoWriter


def double(source, target, *, factor=2, **options):
    """Write every frame of `source` `factor` times; the times it should have, and the writer."""
    times = []
    with VideoReader(source) as reader:
        timeline = MultiplyRate(Fraction(factor), reader.info.times())
        with VideoWriter(
            target,
            info=reader.info,
            timing=timeline.timing(),
            options=WriteOptions(**{"preset": "ultrafast", **options}),
        ) as writer:
            for index, frame in enumerate(reader.frames()):
                slots = timeline.slots(index, frame.pts_seconds, frame.end_seconds)
                for slot in slots:
                    duration = frame.duration_seconds / len(slots)
                    writer.write(frame.at(slot.pts_seconds, duration))
                    times.append(slot.pts_seconds)
    return times, writer


def unchanged(info):
    """The times of a video that stays as it is."""
    return MultiplyRate(Fraction(1), info.times()).timing()


def read(path):
    """What is known of a video, and its frames."""
    with VideoReader(path) as reader:
        return reader.info, list(reader.frames())
