"""The endpoints that describe the loaded models: GET /models, /info and /tokenizer.json."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from app import __version__
from app.api import openapi
from app.api.dependencies import NamedService, current_models
from app.api.schemas import ModelName
from model.cells.catalogue import TrackedCell
from model.checkpoints.tokenizer_file import tokenizer_json

router = APIRouter(tags=["Text"], responses=openapi.errors(401, 403, 429, 500))


class Limits(BaseModel):
    """Limits of the server."""

    length: int = Field(description="Maximum number of characters to generate per text.")
    prime: int = Field(description="Maximum number of characters of a prime or a scored text.")
    streams: int = Field(description="Maximum number of generations that run at the same time.")
    queue: int = Field(description="Maximum number of generations that wait for a slot.")


class MemoryInfo(BaseModel):
    """The memory that a stream can have."""

    available: bool = Field(description="Whether requests may set `memory`.")
    bytes: int = Field(description="Size of the memory of a stream. 0 if it is not available.")


class Info(BaseModel):
    """A loaded model, how it is computed, and the server's limits."""

    name: str
    hash: str
    title: str = Field(description="The text that the model learned from. Empty if unknown.")
    source: str = Field(description="Where the text comes from. Empty if unknown.")
    prime: str = Field(description="An example of a text to continue. Empty if there is none.")
    vocabulary: list[str]
    layers: int
    hidden_size: int
    parameters: int
    validation_loss: float | None = Field(description="Validation loss in nats per character.")
    training: dict[str, Any]
    cells: list[TrackedCell] = Field(
        description="The catalogue of the checkpoint: cells that track properties of texts, the "
        "strongest correlation first. Layers and cells are counted from 0. The correlation with "
        "tanh of the cell state was measured on text that was not used for training or to choose "
        "the cell. Empty if the checkpoint has no catalogue."
    )
    device: str = Field(description="Device that computes the model, such as `cpu` or `cuda`.")
    precision: str = Field(description="Precision of the computation, `int8` or `fp32`.")
    kernel: str = Field(
        description="What computes the steps: an instruction set of the native kernel, such as "
        "`avx2`, or PyTorch's operators (`torch`)."
    )
    memory: MemoryInfo
    limits: Limits
    version: str


class LoadedModel(ModelName):
    """A model that requests may name."""

    default: bool = Field(description="Whether requests that name no model use this one.")


class Models(BaseModel):
    """The loaded models, in the order of their files."""

    models: list[LoadedModel]


@router.get("/models", summary="The loaded models")
async def models(request: Request) -> Models:
    """Returns the name and the hash of each model, and which one is the default."""
    loaded = current_models(request)
    return Models(
        models=[
            LoadedModel(**service.model._asdict(), default=service is loaded.default)
            for service in loaded.services
        ]
    )


@router.get(
    "/info",
    summary="A model and the server's limits",
    responses=openapi.errors(404, 409, 422),
)
async def info(service: NamedService) -> Info:
    """Returns a loaded model, the device that computes, and the limits of a request."""
    settings, checkpoint = service.settings, service.checkpoint
    return Info(
        name=service.model.name,
        hash=service.model.hash,
        title=checkpoint.about.title,
        source=checkpoint.about.source,
        prime=checkpoint.about.prime,
        vocabulary=list(service.vocabulary.characters),
        layers=checkpoint.config.layers,
        hidden_size=checkpoint.config.hidden_size,
        parameters=checkpoint.config.parameters,
        validation_loss=checkpoint.training.get("validation_loss"),
        training=dict(checkpoint.training),
        cells=list(checkpoint.cells),
        device=service.decoder.device,
        precision=service.decoder.precision,
        kernel=service.decoder.kernel,
        memory=MemoryInfo(
            available=service.decoder.memory_bytes > 0, bytes=service.decoder.memory_bytes
        ),
        limits=Limits(
            length=settings.max_length,
            prime=settings.max_prime,
            streams=settings.max_streams,
            queue=settings.max_queue,
        ),
        version=__version__,
    )


@router.get(
    "/tokenizer.json",
    summary="The vocabulary as a tokenizer for other tools",
    responses=openapi.errors(404, 409, 422),
)
async def tokenizer(service: NamedService) -> dict[str, Any]:
    """Returns the vocabulary as a Hugging Face tokenizer file. One token is one character."""
    return tokenizer_json(service.vocabulary)
