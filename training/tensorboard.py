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
        TrainingError: from each method, if the folder cannot be written, also because TensorBoard
            cannot encode its path.
    """

    def __init__(self, trainer: Trainer) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = trainer.folder
        with self._folder.explaining_failure():
            path = self._folder.path / "tensorboard"
            try:
                self._writer = SummaryWriter(path, purge_step=trainer.step)
            except UnicodeEncodeError as error:
                raise TrainingError(
                    f"{path}: TensorBoard cannot write there, because the path is not UTF-8, or "
                    "because the locale is C: use another --out, or a locale with UTF-8"
                ) from error

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
