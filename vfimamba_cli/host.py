"""Memory of this machine, as far as the process may use it."""

import os
import sys
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")


def host_bytes() -> int:
    """All of it, or what a container is limited to; no limit where the system does not tell."""
    if not hasattr(os, "sysconf"):
        return sys.maxsize
    limit = _number(GROUP / "memory.max")
    return min(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), limit)


def free_host_bytes() -> int:
    """What could be allocated: what Linux calls available, within the container's limit.

    Elsewhere half of all memory, or no limit where the system does not tell.
    """
    if MEMINFO.exists():
        fields = dict(line.split(":") for line in MEMINFO.read_text().splitlines())
        return min(1024 * int(fields["MemAvailable"].split()[0]), _free_in_group())
    return host_bytes() // 2 if hasattr(os, "sysconf") else sys.maxsize


def _free_in_group() -> int:
    """What is left to the control group of a container, without limit where there is none.

    Files that the system keeps in memory count as used there, but make room where it is needed.
    """
    limit, used = (_number(GROUP / f"memory.{name}") for name in ("max", "current"))
    if sys.maxsize in (limit, used):
        return sys.maxsize
    parts = GROUP / "memory.stat"
    fields = dict(line.split() for line in parts.read_text().splitlines()) if parts.exists() else {}
    return limit - used + int(fields.get("inactive_file", 0))


def _number(path: Path) -> int:
    """In the file; the largest there is without one, or where it says `max`."""
    text = path.read_text().strip() if path.exists() else "max"
    return sys.maxsize if text == "max" else int(text)
