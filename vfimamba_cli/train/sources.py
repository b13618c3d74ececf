"""From the folders a user names to what samples are drawn from."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from vfimamba_cli.data.batches import Mixture
from vfimamba_cli.data.clips import (
    PHOTO_SUFFIXES,
    RESIDENT_SHARE,
    VIDEO_SUFFIXES,
    Clip,
    Footage,
    find_files,
    load_clips,
    load_photos,
)
from vfimamba_cli.data.indexed import IndexedClip, try_index
from vfimamba_cli.data.sampling import Shot, TripletRules, TripletSampler
from vfimamba_cli.data.stored import StoredClip, find_vimeo90k, find_x_train, hold, in_threads
from vfimamba_cli.data.synthetic import SyntheticRules, SyntheticScenes
from vfimamba_cli.errors import InputError, OptionError
from vfimamba_cli.host import host_bytes
from vfimamba_cli.train.recipe import Dataset, Recipe, Source
from vfimamba_cli.video.estimate import decoded_bytes

UNUSED_PHOTOS = "photographs of {} are not used: this stage moves no layers"

EXPECTED = """The strategies take either of:
  DIR/vimeo90k/tri_trainlist.txt, sequences/...   http://toflow.csail.mit.edu (triplet set)
  DIR/x-train/002/occ008.320/0000.png ...         https://github.com/JihyongOh/XVFI (X4K1000FPS)
or any videos right in DIR, which then stand in for both
"""

AS_DRAWN = "read as they are drawn"

NAMED = 10
"""Of what is skipped in a published set; the rest is counted."""

Announce = Callable[[str], None]


def has_published_sets(data: Path) -> bool:
    """Whether `data` holds Vimeo90K or X-TRAIN, rather than videos of one's own."""
    return any((data / name).is_dir() for name in ("vimeo90k", "x-train"))


@dataclass(frozen=True, slots=True)
class Material:
    """All that samples of a run are drawn from.

    Attributes:
        shots: by dataset.
        pictures: to move as layers.
    """

    shots: dict[Dataset, Sequence[Shot]] = field(default_factory=dict)
    pictures: tuple[Clip, ...] = ()

    def fingerprint(self) -> dict[str, int | str]:
        """What a resumed run must find again, by the name of each thing."""
        found: dict[str, int | str] = {}
        for dataset, shots in self.shots.items():
            found[dataset] = len(shots)
            found[f"frames of {dataset}"] = sum(shot.length for shot in shots)
        found["pictures to move"] = len(self.pictures)
        shots = [*(shot for group in self.shots.values() for shot in group), *self.pictures]
        names = "\n".join(shot.name for shot in shots)
        digest = hashlib.sha256(names.encode(errors="replace")).hexdigest()
        return {**found, "SHA-256 of file names": digest}

    def mixtures(self, recipe: Recipe) -> tuple[Mixture, ...]:
        """What each phase of `recipe` draws from."""
        return tuple(
            Mixture(
                sources=tuple(self.drawn_by(source) for source in phase.sources),
                shares=phase.shares,
                crop=phase.crop,
            )
            for phase in recipe.phases
        )

    def drawn_by(self, source: Source) -> TripletSampler | SyntheticScenes:
        """What makes the samples of `source`."""
        if isinstance(source.rules, SyntheticRules):
            return SyntheticScenes(self.pictures, source.rules)
        return TripletSampler(self.shots[source.dataset], source.rules)


def open_material(
    recipe: Recipe,
    *,
    data: Path,
    photos: Path | None,
    device: torch.device,
    announce: Announce,
    processes: int = 1,
) -> Material:
    """Find, and where they fit into memory decode, what `recipe` draws from; say what was found.

    Args:
        processes: that share the memory of the host.

    Raises:
        InputError: something it needs is not there; says where to get it.
        OptionError: there is nothing to move as layers.
    """
    if photos and "synthetic" not in recipe.datasets:
        announce(UNUSED_PHOTOS.format(photos))
    published = find_published(recipe, data)  # both, before the first is read
    shots: dict[Dataset, Sequence[Shot]] = {
        name: announce_set(name, clips, device, processes, announce)
        for name, clips in published.items()
    }
    if "clips" in recipe.datasets:
        folder = check_folder(recipe, data)
        shots["clips"] = open_clips(folder, device, processes, announce)
    pictures: tuple[Clip, ...] = ()
    if "synthetic" in recipe.datasets:
        if photos:
            found = load_photos(photos, device=device)
            announce_footage("photographs", photos, found, announce)
            pictures = found.clips
        pictures += tuple(shot for shot in shots.get("clips", ()) if isinstance(shot, Clip))
        if not pictures:
            raise OptionError(
                "There is nothing in memory to move as layers",
                hint="Name a folder of pictures with --photos",
            )
    return Material(shots, pictures)


def survey(recipe: Recipe, *, data: Path, photos: Path | None, announce: Announce) -> None:
    """Say what there is to draw from, by what the files say of themselves.

    Raises:
        InputError: as `open_material`, where that can be known without decoding.
    """
    if photos and "synthetic" not in recipe.datasets:
        announce(UNUSED_PHOTOS.format(photos))
    for name, clips in find_published(recipe, data).items():
        nbytes = sum(clip.nbytes for clip in clips)
        announce(f"{name}: {len(clips)} clips, {nbytes / 1e9:.2f} GB decoded")
    folders = []
    if "clips" in recipe.datasets:
        folders.append((check_folder(recipe, data), VIDEO_SUFFIXES, "video"))
    if photos and "synthetic" in recipe.datasets:
        folders.append((photos, PHOTO_SUFFIXES, "photograph"))
    for folder, suffixes, kind in folders:
        paths = find_files(folder, suffixes, kind)
        nbytes = sum(in_threads(decoded_bytes, paths))
        if not nbytes:
            raise InputError(
                f"None of the {len(paths)} {kind}s can be read: {folder}",
                hint=f"Put {kind}s there that play elsewhere",
            )
        announce(f"{kind}s: {len(paths)} of {folder}, {nbytes / 1e9:.2f} GB decoded")


def find_published(recipe: Recipe, data: Path) -> dict[Dataset, list[StoredClip]]:
    """Those of the published sets that `recipe` draws from.

    Raises:
        InputError: one is not there; says where to get it.
    """
    finders: dict[Dataset, Callable[[Path], list[StoredClip]]] = {
        "vimeo90k": find_vimeo90k,
        "x-train": find_x_train,
    }
    return {name: find(data / name) for name, find in finders.items() if name in recipe.datasets}


def check_folder(recipe: Recipe, data: Path) -> Path:
    """`data`, unless it holds nothing that a strategy could use."""
    if recipe.stage in ("clips", "finetune") or not data.is_dir():
        return data
    if not any(path.suffix.lower() in VIDEO_SUFFIXES for path in data.iterdir()):
        raise InputError(f"Neither Vimeo90K and X-TRAIN nor any video: {data}", hint=EXPECTED)
    return data


def announce_set(
    name: str,
    clips: Sequence[StoredClip],
    device: torch.device,
    processes: int,
    announce: Announce,
) -> tuple[Shot, ...]:
    """Keep a published set in memory if it fits, and say so or not.

    Raises:
        InputError: none of it can be read.
    """
    held, skipped = hold(clips, device, processes)
    for problem in skipped[:NAMED]:
        announce(f"skipped: {problem}")
    if not held:
        raise InputError(
            f"None of the {len(clips)} clips of {name} can be read",
            hint="The set seems to be damaged or not complete",
        )
    where = AS_DRAWN if held[0].is_stored else f"in the memory of {device}"
    announce(
        f"{name}: {len(held)} clips, {sum(clip.length for clip in held)} frames, "
        f"{sum(clip.nbytes for clip in clips) / 1e9:.2f} GB decoded, {where}, "
        f"{len(skipped)} skipped"
    )
    return held


def open_clips(
    folder: Path, device: torch.device, processes: int, announce: Announce
) -> tuple[Shot, ...]:
    """The videos of `folder`, decoded if they fit well into memory, else only looked through.

    Raises:
        InputError: there are none, or none that can be used.
    """
    paths = find_files(folder, VIDEO_SUFFIXES, "video")
    needed = sum(in_threads(decoded_bytes, paths))
    if needed <= RESIDENT_SHARE * host_bytes() / processes:
        footage = load_clips(folder, device=device)
        announce_footage("clips", folder, footage, announce)
        return footage.clips
    announce(
        f"clips: {needed / 1e9:.1f} GB decoded, too much to keep: looking through "
        f"{len(paths)} videos once"
    )
    clips: list[IndexedClip] = []
    skipped = []
    for found in in_threads(try_index, paths):
        if isinstance(found, str):
            announce(f"skipped: {found}")
            skipped.append(found)
        else:
            clips += found
    if not clips:
        raise InputError(
            f"None of the {len(paths)} videos can be used: {folder}\n{skipped[0]}",
            hint="Put videos there that play elsewhere",
        )
    frames = sum(clip.length for clip in clips)
    announce(
        f"clips: {len(clips)} of {folder}, {frames} frames, {AS_DRAWN}, {len(skipped)} skipped"
    )
    return tuple(clips)


def announce_footage(kind: str, path: Path, footage: Footage, announce: Announce) -> None:
    """Say how much there is, where it is kept, and what was skipped."""
    for problem in footage.skipped:
        announce(f"skipped: {problem}")
    announce(
        f"{kind}: {len(footage.clips)} of {path}, {footage.frame_count} frames, "
        f"{footage.nbytes / 1e9:.2f} GB in the memory of {footage.device}, "
        f"{len(footage.skipped)} skipped"
    )


def describe_source(source: Source) -> str:
    """One line: how it is drawn from."""
    rules = source.rules
    if isinstance(rules, SyntheticRules):
        return f"motion of {rules.displacement[0]:g} to {rules.displacement[1]:g} px"
    return f"{describe_size(rules)}, {describe_interval(rules)}"


def describe_size(rules: TripletRules) -> str:
    """What frames are reduced to before a crop is cut."""
    if rules.size is None:
        return "full size" if rules.smallest_zoom == 1 else f"size x {rules.smallest_zoom:g} to 1"
    low, high = rules.size
    return f"short side {high} px" if low == high else f"short side {low} to {high} px"


def describe_interval(rules: TripletRules) -> str:
    """How far the two given frames lie apart."""
    if rules.interval:
        least, most = rules.interval
        return f"interval {most} frames" if least == most else f"interval {least} to {most} frames"
    low, high = rules.displacement
    return f"interval up to {rules.largest_gap} frames, for motion of {low:g} to {high:g} px"
