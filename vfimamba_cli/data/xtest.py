"""X-TEST: 15 clips of 33 frames, 4096 x 2160 at 1000 frames per second, with large motion.

Source: XVFI (arXiv 2103.16206), the test part of X4K1000FPS.
"""

from pathlib import Path

from vfimamba_cli.data.measured import StillClip
from vfimamba_cli.errors import InputError

COUNT = 15
LENGTH = 33
EXPECTED = f"""X-TEST of https://github.com/JihyongOh/XVFI (test.zip of X4K1000FPS), unpacked:
  DIR/test/Type1/TEST01_003_f0433/0000.png .. 0032.png
  DIR/test/Type2/...  DIR/test/Type3/...       {COUNT} clips of {LENGTH} frames in all
"""


def xtest_clips(folder: Path) -> list[StillClip]:
    """Every clip, its frames in the order of their names, by `Type1/TEST01_003_f0433`.

    A clip short of frames has those that are not there listed as missing.

    Raises:
        InputError: there is none.
    """
    top = folder / "test"
    clips = [clip_of(top, path) for path in sorted(top.glob("Type*/TEST*")) if path.is_dir()]
    if not clips:
        raise InputError(f"No X-TEST clips: no folders {top}/Type*/TEST*", hint=EXPECTED)
    return clips


def clip_of(top: Path, folder: Path) -> StillClip:
    """The frames in `folder`."""
    files = dict(enumerate(sorted(folder.glob("*.png"))))
    absent = {number: folder / f"{number:04}.png" for number in range(len(files), LENGTH)}
    return StillClip(folder.relative_to(top).as_posix(), files | absent)
