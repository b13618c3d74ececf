"""Xiph: eight clips of 100 frames, 4096 x 2160, of film quality.

Source: Niklaus and Liu, Softmax Splatting (arXiv 2003.05534), from Xiph.org's test media.
"""

from pathlib import Path

from vfimamba_cli.data.measured import StillClip, triplet_clip
from vfimamba_cli.errors import InputError

CLIPS = (
    "BoxingPractice",
    "Crosswalk",
    "DrivingPOV",
    "FoodMarket",
    "FoodMarket2",
    "RitualDance",
    "SquareAndTimelapse",
    "Tango",
)
CENTERS = range(2, 99, 2)
COUNT = len(CLIPS) * len(CENTERS)
EXPECTED = f"""Clips of https://media.xiph.org/video/derf (Netflix, 4096x2160, 59.94 fps), the first
100 frames of each as PNG: ffmpeg -i FILE.y4m -pix_fmt rgb24 -vframes 100 DIR/NAME-%03d.png
  DIR/BoxingPractice-001.png .. -100.png
  and so for {", ".join(CLIPS[1:])}
"""


def xiph_clips(folder: Path) -> list[StillClip]:
    """Every even frame with its two neighbours, by `BoxingPractice/002`.

    Raises:
        InputError: no file of any clip is there.
    """
    if not any(folder.glob("*-*.png")):
        raise InputError(f"No Xiph clips: no files {folder}/NAME-001.png", hint=EXPECTED)

    def file(name: str, number: int) -> Path:
        return folder / f"{name}-{number:03}.png"

    return [
        triplet_clip(
            f"{name}/{center:03}",
            file(name, center - 1),
            file(name, center),
            file(name, center + 1),
        )
        for name in CLIPS
        for center in CENTERS
    ]
