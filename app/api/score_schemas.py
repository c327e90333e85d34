"""Score schemas: the bodies of requests to /score and of their responses."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from app.api.schemas import MODEL, CharacterScore, ModelName
from model.choice.scores import MAX_ALTERNATIVES

_MAX_TEXTS = 10_000  # of one request


def _check_texts(value: Any) -> Any:
    """Report the first text that is none. Pydantic would collect thousands of errors."""
    for index, text in enumerate(value if isinstance(value, list) else ()):
        if not isinstance(text, str) or not text:
            message = f"texts[{index}] must be a string of at least one character"
            raise PydanticCustomError("texts", message)
    return value


class ScoreRequest(BaseModel):
    """One text or many texts to score."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str | None = Field(
        None, min_length=1, description="Text to score. Send either `text` or `texts`."
    )
    texts: Annotated[
        list[Annotated[str, Field(min_length=1)]] | None, BeforeValidator(_check_texts)
    ] = Field(
        None,
        min_length=1,
        max_length=_MAX_TEXTS,
        description="Texts to score, each of them on its own.",
    )
    detail: bool | None = Field(
        None,
        description="Whether to return the score of each character, and not only their number and "
        "their sum. By default true for `text` and false for `texts`.",
    )
    prime: str = Field(
        "",
        description="Text that the model reads before each text, without scoring it. If it is "
        "empty, the model reads a newline.",
    )
    logprobs: int = Field(
        0,
        ge=0,
        le=MAX_ALTERNATIVES,
        description="Number of top alternatives to return per character.",
    )
    model: str | None = MODEL

    @property
    def with_detail(self) -> bool:
        """Whether to return the score of each character."""
        return self.texts is None if self.detail is None else self.detail


class TextScore(BaseModel):
    """The sum of a text's scores."""

    characters: list[CharacterScore] | int = Field(
        description="The score of each character, or with `detail` false the number of characters."
    )
    nats: float = Field(description="Negative sum of the logprobs of the text.")
    bits: float = Field(description="The same sum in bits: nats / ln 2.")
    bits_per_character: float


class ScoreResponse(TextScore):
    """The score of one text."""

    model: ModelName


class TextsResponse(BaseModel):
    """The scores of many texts, in their order."""

    scores: list[TextScore]
    model: ModelName
