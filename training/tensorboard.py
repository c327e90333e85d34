"""TensorBoard: writes a run's losses as TensorBoard event files (--tensorboard)."""

from __future__ import annotations

from importlib.util import find_spec

from model.errors import TrainingError
from training.events import Update, Validation
from training.trainer import Trainer

_INTERVAL = 10  # updates between two points of the training loss


class TensorBoard:
    """Writer of event files in the folder `tensorboard/` of a run.

    Raises:
        TrainingError: from each method, if the folder cannot be written.
    """

    def __init__(self, trainer: Trainer) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = trainer.folder
        with self._folder.explaining_failure():
            path = self._folder.path / "tensorboard"
            self._writer = SummaryWriter(path, purge_step=trainer.step)

    def add(self, event: Update | Validation) -> None:
        """Write the losses of an event."""
        with self._folder.explaining_failure():  # it may be that of an earlier event
            if isinstance(event, Validation):
                self._writer.add_scalar("loss/validation", event.validation_loss, event.step)
            elif event.step % _INTERVAL == 0:
                self._writer.add_scalar("loss/training", event.loss, event.step)
                self._writer.add_scalar("learning_rate", event.learning_rate, event.step)

    def close(self) -> None:
        """Write the remaining data and close the files."""
        with self._folder.explaining_failure():
            self._writer.close()


def require_tensorboard() -> None:
    """Raise TrainingError unless TensorBoard is installed."""
    if find_spec("tensorboard") is None:
        raise TrainingError("--tensorboard needs a package: pip install tensorboard")
