"""Where what was made once is kept for the next time."""

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """Our folder in the user's cache: XDG_CACHE_HOME, else the platform's custom."""
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder) / "vfimamba"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "vfimamba"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "vfimamba" / "Cache"
    return Path.home() / ".cache" / "vfimamba"
