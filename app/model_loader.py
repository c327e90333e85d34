"""ModelLoader: makes the services of all checkpoint files that the settings name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

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


# The file of each model by its name, with the service if the model is loaded already and works, or
# else with the checkpoint.
Reading = dict[str, tuple[Path, Service | Checkpoint]]


class ModelLoader:
    """Loads checkpoints into services whose engines share the resources of one server.

    Args:
        settings: settings of the service.
        metrics: metrics of all engines.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        cache_bytes = round(settings.cache_mb * 2**20)
        # A client may have `max_streams` slots, and others have an eighth more, see `Slots`.
        slots, places = (most + most // 8 for most in (settings.max_streams, settings.max_queue))
        self.resources = Resources(slots, places, cache_bytes)

    def read(self, loaded: LoadedModels | None = None) -> Reading:
        """Read and check every file.

        Raises:
            CharstreamError: if a setting or a checkpoint cannot be used.
        """
        files = checkpoint_files(self._settings.checkpoint)
        self._default(files)
        reading: Reading = {}
        old = {service.model.name: service for service in loaded.services} if loaded else {}
        for name, path in files.items():
            with _naming(self._settings, "checkpoint"):
                checkpoint = load_checkpoint(path)
            kept = name in old and _serves(old[name], checkpoint)
            reading[name] = path, old[name] if kept else checkpoint
        return reading

    def make(self, reading: Reading, loaded: LoadedModels | None = None) -> LoadedModels:
        """Return the models of all files. Their new engines have not been started.

        Raises:
            CharstreamError: if a setting or the device cannot be used.
        """
        services, threads = dict[str, Service](), self._settings.threads
        if loaded is not None:  # the models in use would disturb a measurement
            threads = loaded.default.decoder.threads
        for name, (path, found) in reading.items():
            if not isinstance(found, Service):
                found = self._make(path, found, threads)
            services[name] = found
        return LoadedModels(tuple(services.values()), services[self._default(reading)])

    def _default(self, files: Mapping[str, object]) -> str:
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
            slots = self.resources.slots.count
            decoder = Decoder(checkpoint, slots, device, precision, threads, kernel)
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
    return same and service.engine.scheduler.failure is None


def checkpoint_files(paths: Iterable[Path]) -> dict[str, Path]:
    """Return the checkpoint files by the names of their models, in order.

    Args:
        paths: files and folders. A folder stands for its .safetensors files, sorted by name,
            without hidden ones. A file that does not exist is not an error here.

    Raises:
        SettingsError: if a folder cannot be read or has no such files, if two files would have the
            same name, or if a name is not printable.
    """
    files: dict[str, Path] = {}
    for path in paths:
        # `Path.is_dir` raises an error if a parent folder may not be searched.
        for file in _files_in(path) if os.path.isdir(path) else [path]:
            name = name_of(file)
            if not name.isprintable():  # it could not be shown in lists and logs
                raise SettingsError(
                    f"{_SETTING}: {str(file)!a}: the name of a file must be printable characters "
                    "in UTF-8; rename it"
                )
            if name in files:
                raise SettingsError(
                    f"{_SETTING}: {files[name]} and {file} would both be the model {name!r}; "
                    "rename one of them"
                )
            files[name] = file
    return files


def _files_in(folder: Path) -> Iterator[Path]:
    try:
        found = sorted(folder.iterdir(), key=lambda file: file.stem)  # anna before anna-previous
    except OSError as error:
        raise SettingsError(f"{_SETTING}: {folder} cannot be read: {error.strerror}") from error
    files = [f for f in found if f.suffix == ".safetensors" and not f.name.startswith(".")]
    if not files:
        raise SettingsError(f"{_SETTING}: the folder {folder} has no .safetensors files")
    yield from files
