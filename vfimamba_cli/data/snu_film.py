"""SNU-FILM: 310 triplets in each of four levels, up to 1280 x 720, ever further apart.

Source: CAIN (AAAI 2020, https://github.com/myungsub/CAIN).
"""

from pathlib import Path, PurePosixPath

from vfimamba_cli.data.measured import StillClip, triplet_clip
from vfimamba_cli.errors import InputError

LEVELS = ("easy", "medium", "hard", "extreme")
COUNT = 310
EXPECTED = f"""SNU-FILM of https://myungsub.github.io/CAIN (snu_film_test.zip and its lists):
  DIR/test-easy.txt, test-medium.txt, test-hard.txt, test-extreme.txt    {COUNT} lines each:
      three files' paths; leading folders that DIR does not have are skipped
  DIR/test/GOPRO_test/GOPR0384_11_00/000001.png
  DIR/test/YouTube_test/...
"""


def snu_film_clips(folder: Path, level: str) -> list[StillClip]:
    """The triplets that the level's list names, by their middle frame's path.

    Raises:
        InputError: there is no list, or its lines are not three paths each.
    """
    path = folder / f"test-{level}.txt"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"No SNU-FILM: cannot read its list: {path}", hint=EXPECTED) from error
    triplets = [line.split() for line in lines if line.strip()]
    if not triplets or any(len(triplet) != 3 for triplet in triplets):
        raise InputError(f"Not a list of three paths a line: {path}", hint=EXPECTED)
    skipped = leading_parts(folder, triplets[0][0])
    clips = []
    for triplet in triplets:
        tails = [PurePosixPath(*PurePosixPath(file).parts[skipped:]) for file in triplet]
        name = tails[1].with_suffix("").as_posix()
        clips.append(triplet_clip(name, *(folder / tail for tail in tails)))
    return clips


def leading_parts(folder: Path, listed: str) -> int:
    """How many leading folders of a `listed` path are not to be found in `folder`.

    All lists name their files from the folder their makers worked in.
    """
    parts = PurePosixPath(listed).parts
    places = (skip for skip in range(len(parts) - 1) if (folder / parts[skip]).is_dir())
    return next(places, 0)
