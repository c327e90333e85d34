"""TensorBoard: a run's losses as its event files, for those who ask for them."""

from __future__ import annotations

from importlib.util import find_spec

from model.errors import TrainingError
from training.trainer import Trainer, Update, Validation

_EVERY = 10  # updates


class TensorBoard:
    """Writes into `tensorboard/` of the run's folder."""

    def __init__(self, trainer: Trainer) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(trainer.folder.path / "tensorboard", purge_step=trainer.step)

    def add(self, event: Update | Validation) -> None:
        if isinstance(event, Validation):
            self._writer.add_scalar("loss/validation", event.validation_loss, event.step)
        elif event.step % _EVERY == 0:
            self._writer.add_scalar("loss/training", event.loss, event.step)
            self._writer.add_scalar("learning_rate", event.learning_rate, event.step)

    def close(self) -> None:
        self._writer.close()


def require_tensorboard() -> None:
    """Raises TrainingError unless TensorBoard is installed."""
    if find_spec("tensorboard") is None:
        raise TrainingError("--tensorboard needs a package: pip install tensorboard")
