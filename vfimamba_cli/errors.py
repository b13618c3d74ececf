"""What can go wrong, and the exit code each kind ends the command with."""


class VfimambaError(Exception):
    """Something a user can act on: what happened, where, and what to do next.

    Attributes:
        hint: the next step, in one sentence; empty where the message says it all.
        exit_code: what the command ends with.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class OptionError(VfimambaError):
    """An option or argument that cannot be used as given."""

    exit_code = 2


class InputError(VfimambaError):
    """A file that cannot be read as what it should be."""

    exit_code = 3


class OutputError(VfimambaError):
    """A file that cannot be written, or was not written as planned."""

    exit_code = 4


class CheckpointError(VfimambaError):
    """Weights that are missing, damaged, or not those of the model asked for."""

    exit_code = 5


class DeviceError(VfimambaError):
    """A device or scan backend that was asked for and cannot run here."""

    exit_code = 6
