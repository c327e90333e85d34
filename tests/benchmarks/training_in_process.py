"""Training commands in this process, for one epoch in place of a time."""

from __future__ import annotations

import contextlib
import io
import subprocess

from training.command_line import run

TEXT = "".join(f"{n} green bottles standing on the wall, {n * n} more.\n" for n in range(60))


class TrainingInProcess:
    """Stands in for `run_training`, and notes the commands that it has run."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def __call__(self, command: str, *arguments: str) -> str:
        self.commands.append(command)
        line = " ".join(arguments)
        flags = line.replace("--minutes 5", "--epochs 1 --validations 1").split()
        with contextlib.redirect_stdout(io.StringIO()) as output:
            if status := run([command, *flags]):
                raise subprocess.CalledProcessError(status, command)
        return output.getvalue()
