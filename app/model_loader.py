"""ModelLoader: makes the services of all checkpoint files that the settings name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from app.engine.engine import Engine
from app.engine.metrics import Metrics
from app.engine.slots import Resources
from app.errors import SettingsError
from app.loaded_models import LoadedModels
from app.service import Service
from app.settings import PREFIX, Settings
from model.checkpoints.checkpoint import Checkpoint, load_checkpoint, name_of
from model.decoding.decoder import Decoder
from model.decoding.selection import check_kernel, choose_device, choose_precision
from model.errors import CheckpointError, DeviceError

_SETTING = f"{PREFIX}CHECKPOINT"


class Reading(NamedTuple):
    """What reading the files has found. The keys are the names of the models.

    Attributes:
        files: the files, in order.
        kept: services of models that are loaded already, and work.
        checkpoints: the other models.
    """

    files: Mapping[str, Path]
    kept: dict[str, Service]
    checkpoints: dict[str, Checkpoint]


class ModelLoader:
    """Loads checkpoints into services whose engines share the resources of one server.

    Args:
        settings: settings of the service.
        metrics: metrics of all engines.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        cache_bytes = round(settings.cache_mb * 2**20)
        self.resources = Resources(settings.max_streams, settings.max_queue, cache_bytes)

    def read(self, loaded: LoadedModels | None = None) -> Reading:
        """Read and check every file.

        Raises:
            CharstreamError: if a setting or a checkpoint cannot be used.
        """
        files = checkpoint_files(self._settings.checkpoint)
        self._default(files)
        reading = Reading(files, {}, {})
        old = {service.model.name: service for service in loaded.services} if loaded else {}
        for name, path in files.items():
            with _naming(self._settings, "checkpoint"):
                checkpoint = load_checkpoint(path)
            if name in old and _serves(old[name], checkpoint):
                reading.kept[name] = old[name]
            else:
                reading.checkpoints[name] = checkpoint
        return reading

    def make(self, reading: Reading, loaded: LoadedModels | None = None) -> LoadedModels:
        """Return the models of all files. Their new engines have not been started.

        Raises:
            CharstreamError: if a setting or the device cannot be used.
        """
        services, threads = dict(reading.kept), self._settings.threads
        for name, checkpoint in reading.checkpoints.items():
            if loaded is not None:  # the models in use would disturb the measurement
                threads = loaded.like(name).decoder.threads
            services[name] = self._make(reading.files[name], checkpoint, threads)
        default = services[self._default(reading.files)]
        return LoadedModels(tuple(services[name] for name in reading.files), default)

    def _default(self, files: Mapping[str, Path]) -> str:
        name = self._settings.default_model
        if name is None:
            return next(iter(files))
        if name not in files:
            raise SettingsError(
                f"{PREFIX}DEFAULT_MODEL: no model is named {name!r}; "
                f"expected one of {', '.join(files)}"
            )
        return name

    def _make(self, path: Path, checkpoint: Checkpoint, threads: int | None) -> Service:
        settings = self._settings
        with _naming(settings, "device"):
            device = choose_device(settings.device)
        with _naming(settings, "kernel"):
            kernel = settings.kernel and check_kernel(settings.kernel, device)
        with _naming(settings, "precision"):
            precision = choose_precision(settings.precision, device, kernel)
        with _naming(settings, "kernel", "precision"):
            decoder = Decoder(checkpoint, settings.max_streams, device, precision, threads, kernel)
        metrics = self._metrics.of(checkpoint.name)
        engine = Engine(decoder, self.resources, metrics, settings.deadline_seconds)
        return Service(settings, checkpoint, decoder, engine, path)


@contextmanager
def _naming(settings: Settings, *fields: str) -> Iterator[None]:
    """Name the environment variables of settings in an error about their values.

    Those that leave the choice to the service are not named.
    """
    try:
        yield
    except (CheckpointError, DeviceError) as error:
        chosen = [field for field in fields if getattr(settings, field) not in (None, "auto")]
        if not chosen:
            raise
        names = ", ".join(PREFIX + field.upper() for field in chosen)
        raise SettingsError(f"{names}: {error}") from error


def _serves(service: Service, checkpoint: Checkpoint) -> bool:
    """Return whether a service works, and has the same model with the same catalogue of cells."""
    loaded = service.checkpoint
    same = (checkpoint.hash, checkpoint.cells) == (loaded.hash, loaded.cells)
    return same and not service.engine.failed


def checkpoint_files(paths: Iterable[Path]) -> dict[str, Path]:
    """Return the checkpoint files by the names of their models, in order.

    Args:
        paths: files and folders. A folder stands for its .safetensors files, sorted by name,
            without hidden ones. A file that does not exist is not an error here.

    Raises:
        SettingsError: if a folder cannot be read or has no such files, or if two files would have
            the same name.
    """
    files: dict[str, Path] = {}
    for path in paths:
        # `Path.is_dir` raises an error if a parent folder may not be searched.
        for file in _files_in(path) if os.path.isdir(path) else [path]:
            name = name_of(file)
            if name in files:
                raise SettingsError(
                    f"{_SETTING}: {files[name]} and {file} would both be the model {name!r}; "
                    "rename one of them"
                )
            files[name] = file
    return files


def _files_in(folder: Path) -> Iterator[Path]:
    try:
        found = sorted(file for file in folder.iterdir() if file.suffix == ".safetensors")
    except OSError as error:
        raise SettingsError(f"{_SETTING}: {folder} cannot be read: {error.strerror}") from error
    files = [file for file in found if not file.name.startswith(".")]
    if not files:
        raise SettingsError(f"{_SETTING}: the folder {folder} has no .safetensors files")
    yield from files
