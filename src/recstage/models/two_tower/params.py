"""Hyperparameters of the two-tower."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from recstage.models.vectors.dot_product import DotProductParams


class TwoTowerParams(DotProductParams):
    """Hyperparameters of `TwoTower`."""

    factors: PositiveInt = Field(64, description="size of user and item vectors")
    block: Literal["sasrec", "hstu", "ligr"] = Field(
        "sasrec", description="of the user tower: softmax attention, SiLU attention with a gate, gated residuals"
    )
    times: bool = Field(True, description="hstu also reads the time between two items, where the data has clock times")
    similarity: Literal["dot", "cosine"] = Field("dot", description="of a user's and an item's vector")
    temperature: float = Field(0.05, gt=0, description="that a cosine is divided by; without effect on dot")
    layers: PositiveInt = Field(2, description="blocks of the transformer")
    heads: PositiveInt = Field(2, description="attention heads; must divide factors")
    window: PositiveInt = Field(100, description="most recent items of a history that are read")
    first_vectors: Literal["random", "neighbors"] = Field(
        "random",
        description="of items, when a fit begins: small random numbers, or singular vectors of which items stand within"
        " five places of each other",
    )
    epochs: PositiveInt = Field(30, description="most passes over the data; the learning rate falls to 0 over them")
    learning_rate: float = Field(0.003, gt=0, description="highest, of AdamW")
    batch_size: PositiveInt = Field(64, description="full windows a step")
    dropout: float = Field(0.2, ge=0, lt=1, description="of the embeddings and of each block's outputs")
    regularization: float = Field(0.0, ge=0, description="decoupled weight decay")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread over the catalogue")
    n_negatives: NonNegativeInt = Field(
        0,
        description="items of a sampled softmax, shared by a step; 0: the full softmax up to 20,000 items, else 4,096",
    )
    patience: NonNegativeInt = Field(6, description="epochs without a better validation before stopping; 0: never")
    text_factors: NonNegativeInt = Field(64, description="dimensions kept of the items' texts; 0: ids only")
    id_dropout: float = Field(0.1, ge=0, lt=1, description="share of items represented by text alone in a step")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="of matrix products in training; auto: bf16 where the processor multiplies it natively"
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> TwoTowerParams:
        if self.factors % self.heads:
            raise ValueError("heads must divide factors")
        return self
