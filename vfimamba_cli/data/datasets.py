"""The sets that quality is measured on, by name."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from vfimamba_cli.data import davis7, folder, snu_film, ucf101, vimeo90k, xiph, xtest
from vfimamba_cli.data.measured import Clip, MeasuredSet, triplet_clip

SAMPLE = Path(__file__).parent / "sample"


def vimeo90k_clips(path: Path) -> list[Clip]:
    """The triplets of the test list."""
    triplets = vimeo90k.read_triplets(path, "test")
    return [triplet_clip(name, *files) for name, files in triplets.items()]


def sample_clips(_: Path) -> Iterable[Clip]:
    """The bundled ones, which need no folder."""
    return folder.sequence_clips(SAMPLE)


MEASURED_SETS = {
    "xtest": MeasuredSet(
        title="X-TEST",
        folder="xtest",
        clips=xtest.xtest_clips,
        count=xtest.COUNT,
        expected=xtest.EXPECTED,
    ),
    "vimeo90k": MeasuredSet(
        title="Vimeo90K",
        folder="vimeo90k",
        clips=vimeo90k_clips,
        count=3782,
        expected=vimeo90k.EXPECTED,
    ),
    "ucf101": MeasuredSet(
        title="UCF101",
        folder="ucf101",
        clips=ucf101.ucf101_clips,
        count=ucf101.COUNT,
        expected=ucf101.EXPECTED,
    ),
    "xiph": MeasuredSet(
        title="Xiph",
        folder="xiph",
        clips=xiph.xiph_clips,
        count=xiph.COUNT,
        expected=xiph.EXPECTED,
    ),
    "davis7": MeasuredSet(
        title="DAVIS-7",
        folder="davis7",
        clips=davis7.davis7_clips,
        count=davis7.COUNT,
        expected=davis7.EXPECTED,
    ),
    "triplets": MeasuredSet(
        title="Folder of triplets",
        folder="folder",
        clips=folder.triplet_folders,
        count=None,
        expected=folder.EXPECTED,
    ),
    "sequences": MeasuredSet(
        title="Folder of sequences",
        folder="folder",
        clips=folder.sequence_clips,
        count=None,
        expected=folder.EXPECTED,
    ),
    "sample": MeasuredSet(
        title="Sample", folder="sample", clips=sample_clips, count=None, expected=""
    ),
} | {
    f"snu-film-{level}": MeasuredSet(
        title=f"SNU-FILM {level}",
        folder="snu-film",
        clips=partial(snu_film.snu_film_clips, level=level),
        count=snu_film.COUNT,
        expected=snu_film.EXPECTED,
    )
    for level in snu_film.LEVELS
}
