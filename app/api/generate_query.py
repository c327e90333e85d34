"""GenerateQuery: the parameters of GET /generate."""

from __future__ import annotations

from pydantic import Field

from app.api.constraints import BiasTexts
from app.api.hold import HoldTexts
from app.api.schemas import GenerateRequest


class GenerateQuery(GenerateRequest):
    """Parameters of a generation in a query string."""

    hold: HoldTexts = Field(
        [],
        description="Cells of the LSTM that keep a state of your choice while the text is "
        "generated, as LAYER:CELL:VALUE. Repeat the parameter for up to 8 cells.",
        examples=[["1:293:-2"]],
    )
    logit_bias: BiasTexts = Field(  # type: ignore[assignment]  # a query string has no objects
        [],
        description="Numbers to add to the logits of characters, as CHARACTER:BIAS. Repeat the "
        "parameter for up to 1,000 characters. -100 bans a character.",
        examples=[["e:-100"]],
    )

    stream: bool = Field(False, description="Has no effect: the response is always a stream.")

    @property
    def biases(self) -> dict[str, float]:
        return {item.character: item.bias for item in self.logit_bias}
