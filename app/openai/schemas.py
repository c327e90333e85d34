"""Schemas: the responses of /v1, as OpenAI's clients and benchmark tools expect them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

OpenAIReason = Literal["length", "stop"]


class Logprobs(BaseModel):
    """Log-probabilities of the characters of a choice, before temperature and filters."""

    tokens: list[str]
    token_logprobs: list[float | None] = Field(
        description="Null for the first character of a prompt."
    )
    top_logprobs: list[dict[str, float] | None] = Field(
        description="Logprobs of the top alternatives and of the character itself."
    )
    text_offset: list[int] = Field(
        description="Position of each character in the text of the choice."
    )


class Choice(BaseModel):
    """One text, or one piece of it in a stream."""

    index: int = Field(description="Index of the prompt times n, plus the index among its n texts.")
    text: str
    logprobs: Logprobs | None
    finish_reason: OpenAIReason | None
    seed: int = Field(description="Seed that reproduces this text.")


class PromptTokensDetails(BaseModel):
    """Details of the prompts' tokens."""

    cached_tokens: int = Field(
        description="Number of tokens that were not read again, because the prefix cache had the "
        "state after them."
    )


class CompletionUsage(BaseModel):
    """Numbers of tokens. A prompt counts once, however many texts continue it."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails | None = None


class CompletionResponse(BaseModel):
    """A complete response. A chunk of a stream has the same fields."""

    id: str
    object: Literal["text_completion"]
    created: int = Field(description="Time of the response, in seconds since 1970.")
    model: str
    system_fingerprint: str = Field(description="Hash of the model.")
    choices: list[Choice]
    usage: CompletionUsage | None = None


class ModelCard(BaseModel):
    """A loaded model."""

    id: str
    object: Literal["model"]
    created: int = Field(description="Time when the model was loaded, in seconds since 1970.")
    owned_by: str
    hash: str = Field(
        description="Hash of the checkpoint's content. Requests may use it in place of the name."
    )
    max_model_len: int = Field(
        description="Maximum number of characters of a prompt and a text together."
    )


class ModelList(BaseModel):
    """The loaded models."""

    object: Literal["list"]
    data: list[ModelCard]


class OpenAIError(BaseModel):
    """A description of what is wrong."""

    message: str
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"]
    param: str | None = Field(description="The invalid field, if there is one.")
    code: str


class OpenAIErrorBody(BaseModel):
    """The body of every error response of /v1."""

    error: OpenAIError
