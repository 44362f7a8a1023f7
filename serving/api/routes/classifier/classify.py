"""Categories of texts, by the item classifier in Production."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import AfterValidator, BaseModel, Field

from recstage.classifier.data.samples import LONGEST_TEXT
from recstage.classifier.model import Classified
from serving.api.dependencies import ServiceDep
from serving.api.fields import Body, without_nul
from serving.errors import documented
from serving.security.authentication import requires

router = APIRouter(prefix="/api/classify", tags=["classifier"])
MOST_TEXTS = 100


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("a text must not be empty")
    return text


TextToClassify = Annotated[
    str, Field(min_length=1, max_length=LONGEST_TEXT), AfterValidator(without_nul), AfterValidator(_not_blank)
]


class ClassifyBody(Body):
    """The texts, title first."""

    texts: list[TextToClassify] = Field(
        min_length=1, max_length=MOST_TEXTS, examples=[["Heat. A detective hunts a crew of professional thieves."]]
    )


class LabelBody(BaseModel):
    """A category and how probable it is."""

    category: str = Field(examples=["Crime"])
    confidence: float = Field(examples=[0.83])


class ClassifiedBody(BaseModel):
    """The categories of one text, the most probable first."""

    categories: list[LabelBody]
    confidence: float = Field(
        examples=[0.83], description="mean of the categories', that is, the share to expect right"
    )
    uncertain: bool = Field(examples=[False], description="whether a person should label it")


class ClassifiedTextsBody(BaseModel):
    """One result a text, in their order."""

    model_version: str = Field(examples=["3"])
    results: list[ClassifiedBody]


@router.post(
    "",
    summary="Classify texts into categories",
    dependencies=[Depends(requires("client"))],
    responses=documented(400, 401, 403, 408, 413, 422, 429, 503),
)
async def classify(body: ClassifyBody, service: ServiceDep) -> ClassifiedTextsBody:
    """Categories with calibrated confidences; 503 while no version of the classifier is Production."""
    loaded, found = await service.classifier.classify(body.texts)
    results = [_body(one, service.classifier.uncertain(one)) for one in found]
    return ClassifiedTextsBody(model_version=loaded.version, results=results)


def _body(found: Classified, uncertain: bool) -> ClassifiedBody:
    labels = [LabelBody(category=one.category, confidence=one.confidence) for one in found.labels]
    return ClassifiedBody(categories=labels, confidence=found.confidence, uncertain=uncertain)
