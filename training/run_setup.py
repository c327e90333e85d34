"""RunSetup: builds the configuration of a run from the flags, the text and a saved run."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.network_config import NetworkConfig
from model.errors import DeviceError, TrainingError
from training.config import TrainingConfig, TrainingPrecision, settings_from_record
from training.corpus import Corpus
from training.memory import check_memory
from training.plan import Plan, planned
from training.precision import choose_training_precision
from training.process_group import ProcessGroup
from training.recommended import recommended, recommended_dropout
from training.run_folder import RunFolder
from training.speed import measure_speed
from training.train_arguments import default_rates, given

Configs = tuple[NetworkConfig, TrainingConfig]


@dataclass(frozen=True)
class RunSetup:
    """The values on which the configuration of a run depends.

    Attributes:
        options: the flags of the train command.
        folder: the folder of the run.
        corpus: the text.
        initial: checkpoint to fine-tune, or None.
        teachers: checkpoints to learn from.
        device: device to train on.
        process_group: processes that share each batch.
    """

    options: argparse.Namespace
    folder: RunFolder
    corpus: Corpus
    initial: Checkpoint | None
    teachers: Sequence[Checkpoint]
    device: torch.device
    process_group: ProcessGroup

    def configs(self) -> Configs:
        """Return the configuration.

        A flag takes precedence over the settings of a saved run, and these over settings that suit
        the text.

        Raises:
            TrainingError: if a value is out of its range, the sizes differ from those of the
                checkpoint to fine-tune, or the run does not fit into memory.
            DeviceError: if the precision is not available.
        """
        network, run = self._defaults()
        network["vocabulary_size"] = len(self.corpus.vocabulary)
        network |= given(self.options, NetworkConfig)
        chosen = given(self.options, TrainingConfig)
        if self.options.resume and chosen.get("precision") == "auto":
            del chosen["precision"]  # the run has chosen
        run |= chosen
        run["precision"] = self._precision(run.get("precision", "auto"))
        try:
            network_config, config = NetworkConfig(**network), TrainingConfig(**run)
        except TypeError as error:  # a saved setting of another type or name
            raise self.folder.unusable_state("its settings are not those of a run") from error
        except ValueError as error:
            raise TrainingError(str(error)) from error
        self._check_initial_sizes(network_config)
        sequences = config.batch_size // self.process_group.size
        check_memory(network_config, sequences, config.sequence_length, self.device)
        return network_config, config

    def planned(
        self, network_config: NetworkConfig, config: TrainingConfig, spent: float
    ) -> tuple[NetworkConfig, TrainingConfig, Plan]:
        """Return the configuration and the plan of a new run with a time limit.

        Args:
            network_config: the configuration so far. The plan changes its dropout.
            config: as above. The plan changes its epochs and validations.
            spent: seconds of the time limit that have passed.

        Raises:
            TrainingError: if the time is too short.
        """
        group = self.process_group
        started = time.monotonic()
        speed = measure_speed(
            self.corpus, network_config, config, self.device, group, self.initial, self.teachers
        )
        spent = group.mean(spent + time.monotonic() - started, self.device)
        chosen = given(self.options, TrainingConfig)
        config, plan = planned(config, speed, spent, self.corpus, chosen)
        if self.initial is None:
            characters, distilled = len(self.corpus.training), bool(self.teachers)
            dropout = recommended_dropout(config.epochs, characters, distilled)
            network_config = replace(network_config, **dropout | given(self.options, NetworkConfig))
        return network_config, config, plan

    def _defaults(self) -> tuple[dict[str, Any], dict[str, Any]]:
        options = self.options
        if options.resume:
            saved = self.folder.load_state(torch.device("cpu"))["fingerprint"]
            return saved["network"], settings_from_record(saved["settings"])
        network, run = recommended(
            self.corpus,
            options.epochs,
            options.sequence_length,
            self.process_group.size,
            bool(self.teachers),
        )
        if self.initial is not None:
            network = asdict(self.initial.config)
        return network, run | default_rates(fine_tuned=self.initial is not None)

    def _precision(self, name: str) -> TrainingPrecision:
        """Return the same precision in every process: bf16 only if all of them choose it."""
        chosen = choose_training_precision(name, self.device)
        share = self.process_group.mean(float(chosen == "bf16"), self.device)
        if 0 < share < 1 and self.options.precision == "bf16":
            raise DeviceError("precision 'bf16' does not run on the device of every process")
        return "bf16" if share == 1 else "fp32"

    def _check_initial_sizes(self, network_config: NetworkConfig) -> None:
        if self.initial is None or network_config.shapes() == self.initial.config.shapes():
            return
        raise TrainingError(
            f"--init-from {self.options.init_from} is {describe_sizes(self.initial.config)}, but "
            f"the flags ask for {describe_sizes(network_config)}: omit the flags"
        )


def describe_sizes(config: NetworkConfig) -> str:
    """Return layers and hidden size as a short text, such as "2 x 512"."""
    embedding = f", embedding {config.embedding_size}" if config.embedding_size else ""
    return f"{config.layers} x {config.hidden_size}{embedding}"
