"""What the embedding routes take and answer, as pydantic models: they check requests and stand in OpenAPI.

The routes of lookalike refuse a field that they do not know: a misspelt one would silently do nothing. OpenAI's route
ignores it, since its clients send fields of other servers too.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lookalike.http.bounds import require_few_values
from lookalike.http.contents import Encoding
from lookalike.http.validation import invalid, place_of

Model = TypeVar("Model", bound=BaseModel)

EncodingFormat = Annotated[
    Encoding, Field(description="How vectors are written: numbers, or base64 of little-endian float32.")
]


def _unset(schema: dict[str, Any]) -> None:
    """A field that may be left out, and whose default is never looked at."""
    del schema["default"]


class Picture(BaseModel):
    """One picture: its bytes as base64 (or a data URI), or where it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image: str = Field(
        default="", description="The bytes of the picture's file as base64, or a data URI.", json_schema_extra=_unset
    )
    url: str = Field(
        default="",
        description="An http(s) address; only where the service was told to fetch pictures.",
        json_schema_extra=_unset,
    )


class ImageRequest(Picture):
    """One picture, or a batch of them."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["image"]}, {"required": ["url"]}, {"required": ["images"]}]}
    )

    images: list[str | Picture] = Field(
        default=[], min_length=1, fail_fast=True, description="A batch.", json_schema_extra=_unset
    )
    encoding_format: EncodingFormat = "float"


class TextRequest(BaseModel):
    """One text, or a batch of them."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"oneOf": [{"required": ["text"]}, {"required": ["texts"]}]},
    )

    text: str = Field(default="", description="The text; it may be empty.", json_schema_extra=_unset)
    texts: list[str] = Field(default=[], min_length=1, fail_fast=True, description="A batch.", json_schema_extra=_unset)
    encoding_format: EncodingFormat = "float"


class OpenAIRequest(BaseModel):
    """OpenAI's `POST /v1/embeddings`, and Infinity's `modality`."""

    model_config = ConfigDict(extra="ignore", strict=True)

    input: str | Annotated[list[str], Field(min_length=1, fail_fast=True)] = Field(
        description="A text, a picture as a data URI, or a list of them. Token ids are not taken."
    )
    model: str = Field(description="The model that this service runs: its name or an alias of it.")
    encoding_format: Encoding | None = Field(default=None, description="'float' if left out.")
    dimensions: int | None = Field(default=None, description="Only the model's own number.")
    modality: Literal["text", "image"] | None = Field(
        default=None, description="What `input` is. Left out, 'data:image/...;base64,...' is a picture, all else text."
    )
    user: str | None = Field(default=None, description="Ignored.")


Vector = Annotated[
    list[float] | str, Field(description="Unit length; numbers that read back to the same float32, or base64.")
]


_SPACE = {"dimensions": 512, "space": "clip-vit-base-patch32-512@0f3a9c4d21b7", "model": "openai/clip-vit-base-patch32"}
_NUMBERS = [0.0302057117, -0.0682354718]
_MODEL = {
    "id": "openai/clip-vit-base-patch32",
    "object": "model",
    "created": 0,
    "owned_by": "openai",
    "dimensions": 512,
    "modalities": ["image", "text"],
    "space": "clip-vit-base-patch32-512@0f3a9c4d21b7",
    "tower": {
        "space": {
            "model": "openai/clip-vit-base-patch32",
            "weights": "99d28a652e6ec46629ab7047a0ac82c69b1fe11e0ce672c43af65d3a9a3fc05d",
            "preprocessing": "5d9a31f6b0c2",
            "pooling": "projection",
            "dim": 512,
            "modalities": ["image", "text"],
            "normalised": True,
            "orientation": "apply",
        },
        "precision": "exact",
        "runtime": "onnxruntime",
        "recipe": [["pillow", "13"]],
        "cosine": 1.0,
    },
}


def _shown(**example: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


APPROXIMATION = "What read the words, if not the model of the pictures: the answer is near, and not exact."


class Approximate(BaseModel):
    """That words were read by another model than the pictures' own, and how well that goes."""

    source: str = Field(description="What read the words.")
    note: str = Field(description="A sentence for people; it is among the warnings of a search too.")
    agreement: dict[str, float] = Field(description="What was measured on texts it had not seen; empty if nothing was.")


class Embedding(BaseModel):
    """The vector of one picture or text."""

    model_config = _shown(embedding=_NUMBERS, **_SPACE)

    embedding: Vector
    dimensions: int
    space: str = Field(description="Vectors may be compared if and only if their spaces are equal.")
    model: str
    warning: str | None = Field(default=None, description="Absent, or what to know: a text was cut, for example.")
    approximation: Approximate | None = Field(default=None, description=f"Absent, or: {APPROXIMATION}")


class ItemError(BaseModel):
    """Why one item of a batch has no vector; with `actual`, `limit` and `retry_after_s`, where the error has them."""

    model_config = ConfigDict(extra="allow")

    index: int
    type: str
    message: str
    item: str
    retryable: bool


class ItemWarning(BaseModel):
    """What to know of the vector of one item."""

    index: int
    message: str


class Embeddings(BaseModel):
    """The vectors of a batch, in its order."""

    model_config = _shown(
        embeddings=[_NUMBERS, None],
        errors=[
            {
                "index": 1,
                "type": "ImageError",
                "message": "images[1]: The image/jpeg file is cut off: its end is missing.",
                "item": "images[1]",
                "retryable": False,
            }
        ],
        warnings=[],
        **_SPACE,
    )

    embeddings: list[Vector | None] = Field(description="null where an item failed; `errors` says why.")
    errors: list[ItemError]
    warnings: list[ItemWarning]
    dimensions: int
    space: str
    model: str
    approximation: Approximate | None = Field(default=None, description=f"Absent, or: {APPROXIMATION}")


class OpenAIEmbedding(BaseModel):
    """One row of OpenAI's answer."""

    object: Literal["embedding"]
    index: int
    embedding: Vector


class Usage(BaseModel):
    """What was read: the tokens of the texts, begin and end included, as the model reads them. Pictures have none."""

    prompt_tokens: int
    total_tokens: int


class OpenAIEmbeddings(BaseModel):
    """OpenAI's answer."""

    model_config = _shown(
        object="list",
        data=[{"object": "embedding", "index": 0, "embedding": _NUMBERS}],
        model="openai/clip-vit-base-patch32",
        usage={"prompt_tokens": 5, "total_tokens": 5},
    )

    object: Literal["list"]
    data: list[OpenAIEmbedding]
    model: str
    usage: Usage


class OpenAIModel(BaseModel):
    """A model in OpenAI's list, and what OpenAI's has not: the facts of its space."""

    model_config = _shown(**_MODEL)

    id: str
    object: Literal["model"]
    created: int = Field(description="Always 0: not known.")
    owned_by: str
    dimensions: int
    modalities: list[str]
    space: str
    tower: dict[str, Any] = Field(description="The recipe of the vectors, with all that their space is made of.")


class OpenAIModels(BaseModel):
    """OpenAI's list of models: the one that is served."""

    model_config = _shown(object="list", data=[_MODEL])

    object: Literal["list"]
    data: list[OpenAIModel]


def parse(model: type[Model], body: bytes) -> Model:
    """The request in a JSON body.

    Raises:
        InputError: It is not JSON or not such a request; names the field, and repeats nothing of its content.
        TooLarge: It has more values than can be parsed beside other requests.
    """
    require_few_values(body)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        found = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False, include_input=False)]
        # The last complaint is about the last branch of a union, the richest one.
        place = place_of(found[-1])
        raise invalid([one for one in found if place_of(one) == place]) from None


def inlined(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a model without references, for a place of OpenAPI that FastAPI does not fill in itself."""
    schema = model.model_json_schema()
    return _resolved(schema, schema.pop("$defs", {}))  # type: ignore[no-any-return]


def _resolved(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, dict) and "$ref" in node:
        return _resolved(definitions[node["$ref"].rsplit("/", 1)[-1]], definitions)
    if isinstance(node, dict):
        return {key: _resolved(value, definitions) for key, value in node.items()}
    return [_resolved(value, definitions) for value in node] if isinstance(node, list) else node
