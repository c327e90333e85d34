"""Settings: the configuration of the service, read from CHARSTREAM_* environment variables."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import SettingsError

PREFIX = "CHARSTREAM_"

Unknown = Literal["reject", "skip", "fold"]


class Settings(BaseSettings):
    """Settings of the service. The variable CHARSTREAM_PORT sets the field `port`, and so on."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True)

    # Files, and folders of files.
    checkpoint: Annotated[tuple[Path, ...], NoDecode] = (Path("checkpoints/anna.safetensors"),)
    default_model: str | None = None  # name of the model for requests that name none; None: first
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)  # 0: any free port
    device: str = "auto"  # auto, cpu, cuda, cuda:1, ...
    precision: Literal["auto", "fp32", "int8"] = "auto"
    kernel: str | None = None  # what computes the steps; None: the fastest
    threads: int | None = Field(None, ge=1, le=64)  # of the engine; None: by a measurement
    max_streams: int = Field(64, ge=1, le=4096)  # generations that run at the same time
    max_queue: int = Field(256, ge=0, le=100_000)  # generations that may wait for a slot
    max_length: int = Field(100_000, ge=1, le=10_000_000)  # characters per generation
    max_prime: int = Field(100_000, ge=1, le=1_000_000)  # characters per prime or scored text
    unknown: Unknown = "reject"  # default for characters that the vocabulary lacks
    cache_mb: float = Field(64, ge=0, le=1_000_000)  # size of the prefix cache; 0 disables it
    memory_mb: float = Field(160, ge=1, le=1_000_000)  # for what all requests make the server hold
    deadline_seconds: float = Field(3600, ge=0, le=1_000_000)  # per generation; 0: no limit
    max_connections: int = Field(1000, ge=1, le=1_000_000)
    receive_seconds: float = Field(30, gt=0, le=3600)  # for a complete request to arrive
    stall_seconds: float = Field(60, gt=0, le=86_400)  # until a stalled reader is cut off
    api_keys: Annotated[frozenset[str], NoDecode] = frozenset()  # empty: the service is open
    api_keys_file: Path | None = None  # further keys, one per line
    admin_keys: Annotated[frozenset[str], NoDecode] = frozenset()  # empty: API keys are accepted
    rate_per_minute: float = Field(0, ge=0, le=1_000_000)  # per key or address; 0: no limit
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    drain_seconds: float = Field(10, ge=0, le=3600)  # for streams to finish at SIGTERM
    log_format: Literal["text", "json"] = "text"
    log_primes: bool = False  # whether log lines contain the primes of users

    def all_api_keys(self) -> frozenset[str]:
        """Return the keys of the variable and of the file.

        Raises:
            SettingsError: if the file cannot be read, or has no keys, which would open the service.
        """
        if self.api_keys_file is None:
            return self.api_keys
        name = f"{PREFIX}API_KEYS_FILE: {self.api_keys_file}"
        try:
            lines = self.api_keys_file.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{name} cannot be read: {error}") from error
        stripped = [line.strip() for line in lines]
        keys = {line for line in stripped if line and not line.startswith("#")}
        if not keys:
            raise SettingsError(f"{name} holds no keys; expected one per line")
        return self.api_keys | keys

    @classmethod
    def unknown_variables(cls) -> list[str]:
        """Return the names of CHARSTREAM_* variables that are not settings: probably typos."""
        known = {PREFIX + name.upper() for name in cls.model_fields}
        return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)

    @field_validator("api_keys", "admin_keys", "cors_origins", "checkpoint", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        if isinstance(value, Path):
            return (value,)
        if isinstance(value, str):
            parts = [part.strip() for part in value.split(",") if part.strip()]
            if not parts:
                # An empty set of keys would open the service.
                raise PydanticCustomError("list", "expected values separated by commas")
            return parts
        return value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin not in ("*", "null") and not re.fullmatch(
                r"[a-z][a-z0-9+.-]*://[^/\s,*?#@A-Z]+", origin
            ):
                raise PydanticCustomError(
                    "origin", "expected origins such as https://example.org, or *"
                )
        return origins

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the settings from the environment of this process.

        Raises:
            SettingsError: if a value is invalid. The message names each such variable, its value
                and what was expected.
        """
        for name, value in os.environ.items():
            if name.upper() == f"{PREFIX}API_KEYS_FILE" and not value:
                # Other empty variables count as absent. Without this file the service may be open.
                raise SettingsError(f"{name} is empty; expected the path of a file with keys")
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError("; ".join(map(_describe, error.errors()))) from error


def _describe(error: object) -> str:
    assert isinstance(error, dict)
    name = PREFIX + str(error["loc"][0]).upper()
    return f"{name}: {error['msg']}, got {error['input']!a:.80}"
