"""Weights from the Hugging Face Hub: fetched once, verified, converted, kept in the cache."""

import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from vfimamba_cli.checkpoint import store
from vfimamba_cli.checkpoint.manifest import Entry
from vfimamba_cli.checkpoint.official import convert_file
from vfimamba_cli.errors import CheckpointError, OutputError
from vfimamba_cli.model.registry import ModelSpec
from vfimamba_cli.ops.cache import cache_folder

DEFAULT_FILES = ("model.safetensors", "model.pkl")
"""What a Hub ID without a file name means, in this order."""


class MissingError(CheckpointError):
    """Neither the Hub nor its cache here gives this file; another one it may."""


class UnreachableError(MissingError):
    """The Hub cannot be asked for anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubId:
    """A repository on the Hub, a revision of it, and a file in it if one was named."""

    repo: str
    revision: str
    file: str = ""

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """`owner/repo[@revision][:file]`, or None where `text` is no such thing."""
        word = r"[A-Za-z0-9][\w.-]*"
        match = re.fullmatch(rf"({word}/{word})(?:@([^:\s]+))?(?::(\S+))?", text)
        if match is None:
            return None
        return cls(repo=match[1], revision=match[2] or "main", file=match[3] or "")

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision}" + (f":{self.file}" if self.file else "")


def pull(entry: Entry, *, offline: bool = False) -> Path:
    """The converted weights of a model on the Hub; without network if they are in the cache.

    Raises:
        CheckpointError: not fetched, not the file the manifest names, or not converted.
    """
    target = converted_path(entry.name, entry.sha256)
    if is_intact(target):
        return target
    origin = HubId(repo=entry.repo, revision=entry.revision, file=entry.file)
    fetched = _fetch(origin, offline=offline)
    found = store.sha256(fetched)
    if found != entry.sha256:
        _forget(fetched)
        raise CheckpointError(
            f"Wrong file: SHA-256 is {found}, expected {entry.sha256}: {origin}",
            hint=f"It was deleted from the cache; try again, and if it comes back, "
            f"{_endpoint()} serves a different or damaged file",
        )
    return _convert(fetched, target, spec=entry.spec)


def pull_id(hub_id: HubId, *, offline: bool = False) -> Path:
    """A checkpoint of ours on the Hub, or a published-style .pkl converted.

    Of a .pkl the size is read off its tensors; it is taken to want BGR and t = 0.5 only, as
    the published ones do.

    Raises:
        CheckpointError: not fetched, or not a VFIMamba checkpoint.
    """
    fetched = _fetch_any(hub_id, offline=offline)
    if fetched.suffix == ".safetensors":
        return fetched
    target = converted_path(hub_id.repo, store.sha256(fetched))
    return target if is_intact(target) else _convert(fetched, target, name=hub_id.repo)


def _fetch_any(hub_id: HubId, *, offline: bool) -> Path:
    """The file named, or the first of the default ones that is to be had.

    Once the Hub cannot be reached, which takes half a minute to find out, only the cache is asked.
    """
    failed: MissingError | None = None
    for file in [hub_id.file] if hub_id.file else DEFAULT_FILES:
        unreachable = isinstance(failed, UnreachableError)
        try:
            return _fetch(replace(hub_id, file=file), offline=offline or unreachable)
        except MissingError as error:
            failed = failed if unreachable else error
    assert failed is not None
    raise failed


def converted_path(name: str, pickle_sha256: str) -> Path:
    """Where the conversion of that pickle is kept."""
    slug = name.replace("/", "--")
    return cache_folder() / f"{slug}-{pickle_sha256[:16]}-v{store.FORMAT}.safetensors"


def is_intact(converted: Path) -> bool:
    """Whether a conversion is there and has the SHA-256 noted when it was made."""
    note = _note(converted)
    if not converted.is_file() or not note.is_file():
        return False
    return note.read_text(encoding="ascii", errors="replace") == store.sha256(converted)


def _note(converted: Path) -> Path:
    return converted.with_suffix(".sha256")


def _convert(fetched: Path, target: Path, *, spec: ModelSpec | None = None, name: str = "") -> Path:
    """Convert a published .pkl into `target`; its note is written last and makes it count."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        convert_file(fetched, target, spec=spec, name=name)
        store.write_atomically(_note(target), store.sha256(target).encode("ascii"))
    except OSError as error:
        raise _cannot_keep(str(error.strerror), target.parent) from error
    except OutputError as error:
        raise _cannot_keep(str(error), target.parent) from error
    return target


def _fetch(origin: HubId, *, offline: bool) -> Path:
    """The file in huggingface-hub's own cache, downloaded or resumed if it is not complete there.

    Raises:
        CheckpointError: what stood in the way, and what to do.
    """
    from huggingface_hub import constants, errors, hf_hub_download  # takes a quarter of a second

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # retries; we say how it ends
    offline = offline or constants.HF_HUB_OFFLINE
    try:
        return Path(
            hf_hub_download(
                origin.repo, origin.file, revision=origin.revision, local_files_only=offline
            )
        )
    except errors.LocalEntryNotFoundError as error:
        raise _offline(origin) if offline else _unreachable(origin, error) from error
    except errors.HFValidationError as error:
        raise CheckpointError(f"Not a Hub repository name: {origin.repo}: {error}") from error
    except errors.HfHubHTTPError as error:
        raise _refused(origin, error.response.status_code) from error
    except (
        errors.HTTPError,  # type: ignore[attr-defined]  # base class in its HTTP library
        ConnectionError,
        TimeoutError,
        RuntimeError,  # of its native client
    ) as error:
        raise _cut_off(origin, error) from error
    except OSError as error:
        if error.errno is None:  # its own checks have none, the system's errors do
            raise _cut_off(origin, error) from error
        raise _cannot_keep(str(error.strerror), Path(constants.HF_HUB_CACHE)) from error


def _endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def _offline(origin: HubId) -> MissingError:
    return MissingError(
        f"Not in the cache, and offline mode is on: {origin}",
        hint="Run `vfimamba weights pull` once with network, without HF_HUB_OFFLINE; "
        "`--model vfimamba-s` needs no download",
    )


def _unreachable(origin: HubId, error: Exception) -> UnreachableError:
    return UnreachableError(
        f"Cannot reach {_endpoint()} ({error.__cause__ or error}): {origin}",
        hint="Check the network, or name a mirror in HF_ENDPOINT; "
        "`--model vfimamba-s` needs no download",
    )


def _refused(origin: HubId, status: int) -> CheckpointError:
    if status in (401, 403, 404):
        return MissingError(
            f"{_endpoint()} has no such file, or not for you (HTTP {status}): {origin}",
            hint="Check owner/repo@revision:file; a private repository needs HF_TOKEN",
        )
    return CheckpointError(
        f"{_endpoint()} answered HTTP {status}: {origin}", hint="Try again later"
    )


def _cut_off(origin: HubId, error: Exception) -> CheckpointError:
    reason = str(error).split("\n")[0]
    return CheckpointError(
        f"The download broke off ({reason}): {origin}",
        hint="Run the same command again",
    )


def _cannot_keep(reason: str, folder: Path) -> CheckpointError:
    return CheckpointError(
        f"Cannot keep the weights in {folder}: {reason}",
        hint="Free some space, or name folders on another disk in XDG_CACHE_HOME and HF_HOME",
    )


def _forget(fetched: Path) -> None:
    """Delete a file of huggingface-hub's cache, both its name and its content."""
    fetched.resolve().unlink(missing_ok=True)
    fetched.unlink(missing_ok=True)
