"""Memory of this machine."""

from pathlib import Path

import pytest

from vfimamba_cli import host


def test_a_system_that_does_not_tell_sets_no_limit(monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda _: False)
    monkeypatch.delattr(host.os, "sysconf")
    assert host.free_host_bytes() > 1 << 60
    assert host.host_bytes() > 1 << 60


@pytest.fixture
def group(tmp_path, monkeypatch):
    """The folder of a control group, without a limit."""
    monkeypatch.setattr(host, "GROUP", tmp_path)
    (tmp_path / "memory.current").write_text("400\n")
    (tmp_path / "memory.max").write_text("max\n")
    return tmp_path


def test_a_group_without_a_limit_changes_nothing(group):
    assert host.host_bytes() > 1 << 20
    assert 1 << 20 < host.free_host_bytes() < host.host_bytes()


def test_a_containers_limit_counts(group):
    (group / "memory.max").write_text("1000\n")
    assert host.host_bytes() == 1000
    assert host.free_host_bytes() == 600


def test_files_that_the_system_keeps_leave_room(group):
    (group / "memory.max").write_text("1000\n")
    (group / "memory.stat").write_text("anon 100\ninactive_file 250\nactive_file 50\n")
    assert host.free_host_bytes() == 850
