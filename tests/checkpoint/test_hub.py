import errno
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import huggingface_hub.utils._http
import pytest
import torch

from tests.fake_hub import COMMIT, FakeHub, point_at, serving
from tests.published import SPEC, MakesFolder, as_pickle, published_weights
from vfimamba_cli.checkpoint import hub, store
from vfimamba_cli.checkpoint.hub import HubId, pull, pull_id
from vfimamba_cli.checkpoint.load import load_model
from vfimamba_cli.checkpoint.local import local_path, verify
from vfimamba_cli.checkpoint.manifest import Entry
from vfimamba_cli.errors import CheckpointError

REPO = "someone/weights"
FILE = "ckpt/tiny.pkl"
PICKLE = as_pickle(published_weights())


def entry_of(content):
    return Entry(
        spec=SPEC,
        repo=REPO,
        revision=COMMIT,
        file=FILE,
        sha256=hashlib.sha256(content).hexdigest(),
        megabytes=0.1,
        license="Apache-2.0",
    )


@pytest.fixture
def fake(monkeypatch, tmp_path):
    with serving(FakeHub()) as served:
        served.add(REPO, FILE, PICKLE)
        point_at(monkeypatch, served.url, tmp_path)
        yield served


def files_under(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_good_file_is_fetched_once_converted_and_found_again_without_network(fake):
    entry = entry_of(PICKLE)
    path = pull(entry)
    checkpoint = store.read_checkpoint(path)
    assert checkpoint.spec == SPEC
    assert checkpoint.facts["source_sha256"] == entry.sha256
    asked, made = len(fake.requests), path.stat().st_mtime_ns
    assert pull(entry) == path == verify(entry)
    assert (len(fake.requests), path.stat().st_mtime_ns) == (asked, made)


def test_a_conversion_lost_from_the_cache_is_made_again_without_network(fake):
    entry = entry_of(PICKLE)
    pull(entry).unlink()
    assert pull(entry, offline=True) == local_path(entry)


def test_a_damaged_conversion_is_noticed_and_made_again(fake):
    entry = entry_of(PICKLE)
    path = pull(entry)
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x01")
    with pytest.raises(CheckpointError, match="cached weights of tiny-official are damaged"):
        verify(entry)
    assert pull(entry) == verify(entry)


def test_a_download_that_breaks_off_goes_on_where_it_stopped(fake, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    fake.break_after = 10_000
    pull(entry_of(PICKLE))
    gets = [wanted for method, _, wanted in fake.requests if method == "GET"]
    assert gets == ["", "bytes=10000-"]


def test_a_file_shorter_than_promised_is_reported_and_leaves_nothing_usable(fake):
    fake.stored_size = 10_000
    with pytest.raises(CheckpointError, match=f"broke off .*{len(PICKLE)}.*10000") as caught:
        pull(entry_of(PICKLE))
    assert "Run the same command again" in caught.value.hint
    fake.stored_size = None
    pull(entry_of(PICKLE))


def test_a_wrong_hash_names_both_and_the_next_pull_is_clean(fake):
    entry = entry_of(PICKLE)
    wrong = PICKLE[:5000]  # cut off at the source: HEAD and GET agree
    fake.add(REPO, FILE, wrong)
    with pytest.raises(CheckpointError) as caught:
        pull(entry)
    assert entry.sha256 in str(caught.value)
    assert hashlib.sha256(wrong).hexdigest() in str(caught.value)
    assert fake.url in caught.value.hint
    assert not local_path(entry).exists()
    fake.add(REPO, FILE, PICKLE)
    pull(entry)


def test_a_missing_file_names_it(fake):
    fake.files.clear()
    with pytest.raises(CheckpointError, match=f"HTTP 404.*{REPO}@{COMMIT}:{FILE}"):
        pull(entry_of(PICKLE))


def test_a_failing_hub_is_reported_with_its_status(fake, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    fake.status = 500
    with pytest.raises(CheckpointError, match="500"):
        pull(entry_of(PICKLE))


def test_without_network_the_error_names_the_endpoint(monkeypatch, tmp_path):
    monkeypatch.setattr("time.sleep", lambda _: None)
    with serving(FakeHub()) as closed:
        pass
    point_at(monkeypatch, closed.url, tmp_path)
    with pytest.raises(CheckpointError, match=f"Cannot reach {closed.url}") as caught:
        pull(entry_of(PICKLE))
    assert "HF_ENDPOINT" in caught.value.hint


def test_a_hub_that_cannot_be_reached_is_waited_for_once_and_the_cache_is_asked(fake, monkeypatch):
    fake.add(REPO, "model.pkl", PICKLE, revision="main")
    path = pull_id(HubId.parse(f"{REPO}:model.pkl"))
    monkeypatch.setattr("time.sleep", lambda _: None)
    asked = []
    download = huggingface_hub.hf_hub_download

    def spy(repo, file, **options):
        asked.append((file, options["local_files_only"]))
        return download(repo, file, endpoint="http://127.0.0.1:9", **options)  # nobody listens

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", spy)
    assert pull_id(HubId.parse(REPO)) == path
    assert asked == [("model.safetensors", False), ("model.pkl", True)]
    with pytest.raises(CheckpointError, match=r"Cannot reach .*other@main:model.safetensors"):
        pull_id(HubId.parse("someone/other"))


def test_offline_mode_asks_nothing_and_says_so(fake, monkeypatch):
    with pytest.raises(CheckpointError, match="offline mode is on"):
        pull(entry_of(PICKLE), offline=True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="offline mode is on"):
        pull(entry_of(PICKLE))
    assert fake.requests == []


def test_a_malicious_pickle_is_refused_and_does_not_run(fake, tmp_path):
    trap = tmp_path / "trap"
    evil = as_pickle({"module.unet.conv.bias": torch.zeros(3), "x": MakesFolder(trap)})
    fake.add(REPO, FILE, evil)
    with pytest.raises(CheckpointError, match=r"asks for code \(posix.mkdir\), which was not run"):
        pull(entry_of(evil))
    assert not trap.exists()
    assert not local_path(entry_of(evil)).exists()


@pytest.mark.parametrize("broken", ["the download", "the conversion"])
def test_a_full_disk_is_named_and_leaves_no_conversion(fake, monkeypatch, tmp_path, broken):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    if broken == "the download":
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", full)
    else:
        monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left on device") as caught:
        pull(entry_of(PICKLE))
    assert "XDG_CACHE_HOME" in caught.value.hint
    assert files_under(tmp_path / "cache") == []


def test_a_hub_id_takes_model_pkl_and_reads_the_size_off_it(fake):
    fake.add(REPO, "model.pkl", PICKLE, revision="main")
    network = load_model(REPO)
    assert network.spec.config == SPEC.config
    assert network.spec.channel_order == "bgr"
    assert not network.spec.arbitrary_time


def test_a_hub_id_prefers_a_checkpoint_of_ours(fake, tmp_path):
    store.save_checkpoint(tmp_path / "x.safetensors", SPEC, {"w": torch.zeros(1)})
    fake.add(REPO, "model.pkl", PICKLE, revision="main")
    fake.add(REPO, "model.safetensors", (tmp_path / "x.safetensors").read_bytes(), revision="main")
    assert store.read_checkpoint(pull_id(HubId.parse(REPO))).spec == SPEC


def test_a_hub_id_that_names_nothing_is_an_error(fake):
    with pytest.raises(CheckpointError, match=f"no such file.*404.*{REPO}@main:model.pkl"):
        pull_id(HubId.parse(REPO))
    with pytest.raises(CheckpointError, match=f"no such file.*404.*{REPO}@main:other.safetensors"):
        pull_id(HubId.parse(f"{REPO}:other.safetensors"))


@pytest.mark.parametrize("offline", [False, True])
def test_a_mistyped_path_that_reads_as_a_hub_id_is_said_to_be_no_file_either(
    fake, monkeypatch, offline
):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
    with pytest.raises(CheckpointError, match=r"no such file here either: models/mine$") as caught:
        load_model("models/mine")
    assert ("HTTP 404" in str(caught.value)) != offline
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/b", HubId(repo="a/b", revision="main")),
        ("a/b@v1.0", HubId(repo="a/b", revision="v1.0")),
        ("a/b:c/d.pkl", HubId(repo="a/b", revision="main", file="c/d.pkl")),
        ("a/b@v1:c.pkl", HubId(repo="a/b", revision="v1", file="c.pkl")),
        ("a", None),
        ("./a/b", None),
        ("/a/b", None),
        ("../a", None),
        ("a/b/c", None),
        ("a/", None),
    ],
)
def test_hub_ids_are_told_from_paths_and_names(text, expected):
    assert HubId.parse(text) == expected


def test_the_cache_lies_where_the_platform_keeps_caches(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    places = {}
    for platform in ("linux", "darwin", "win32"):
        monkeypatch.setattr(sys, "platform", platform)
        places[platform] = hub.cache_folder()
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert hub.cache_folder() == Path("/elsewhere/vfimamba")
    assert places == {
        "linux": Path("/home/me/.cache/vfimamba"),
        "darwin": Path("/home/me/Library/Caches/vfimamba"),
        "win32": Path("/local/vfimamba/Cache"),
    }


def test_hf_endpoint_and_offline_mode_are_respected_by_the_command(fake, tmp_path):
    fake.add(REPO, "model.pkl", PICKLE, revision="main")
    environment = {
        **os.environ,
        "HF_ENDPOINT": fake.url,
        "HF_HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }

    def command(*arguments, **more):
        return subprocess.run(
            [sys.executable, "-m", "vfimamba_cli", "weights", *arguments],
            capture_output=True,
            text=True,
            env={**environment, **more},
        )

    offline = command("pull", REPO, HF_HUB_OFFLINE="1")
    assert (offline.returncode, fake.requests) == (5, [])
    assert "offline mode is on" in offline.stderr
    done = command("pull", REPO)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r".*/cache/vfimamba/someone--weights-\w+-v1\.safetensors\n", done.stdout)
    again = command("pull", REPO, HF_HUB_OFFLINE="1")
    assert again.stdout == done.stdout
