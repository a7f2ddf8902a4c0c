"""What the OpenAPI description says beyond the signatures: problems, upload bodies, examples that work when pasted."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from pith.errors import ERRORS
from pith.imports import DatasetImport, ModelImport
from pith.results import ModelOfJob

EVERYWHERE = (
    "malformed_request",
    "host_not_allowed",
    "key_required",
    "key_refused",
    "scope_required",
    "rate_limited",
    "internal",
    "unavailable",
)

JOB_EXAMPLES: dict[str, Any] = {
    "quantize": {
        "summary": "Smallest useful job: 8-bit linear layers, no dataset",
        "value": {"model": "mdl_01jd0000000000000000000000", "recipe": [{"kind": "quantize.dynamic"}]},
    },
    "prune, distill, quantize": {
        "summary": "Remove half the channels, recover, distill from the original, quantize",
        "value": {
            "model": "mdl_01jd0000000000000000000000",
            "dataset": "dts_01jd0000000000000000000000",
            "recipe": [
                {"kind": "prune.channel", "pruning_ratio": 0.5, "iterations": 3, "recovery": {"epochs": 2}},
                {"kind": "distill.logits", "teacher": "baseline", "temperature": 4, "epochs": 4},
                {"kind": "quantize.static"},
            ],
            "constraints": {"max_metric_drop": 0.01, "min_compression_ratio": 8},
            "outputs": ["onnx", "pt2", "safetensors"],
            "seed": 0,
        },
    },
}

JOB_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/JobSpec"}, "examples": JOB_EXAMPLES},
        },
    }
}

RAW_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The bytes of the file: `curl -T FILE`.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}

_PARTS = {
    "architecture": "Library and name of a network, for weights without a graph: timm/resnet18.",
    "arguments": "Its keyword arguments, as a JSON object.",
    "input_shape": "Of one sample, with commas: 3,32,32.",
    "seed": "Of the weights, when no file brings them.",
    "schema": "A DatasetSchema, as a JSON object.",
}


def _inline(kind: type[BaseModel]) -> dict[str, Any]:
    """Its schema; what that refers to is described with the resources."""
    schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
    return {name: part for name, part in schema.items() if name != "$defs"}


_IMPORTED = {"summary": "Fetched from elsewhere", "value": {"source": "https://files.example.org/resnet20.pt2"}}
_FRESH = {"summary": "Fresh weights", "value": {"name": "pith/resnet20", "arguments": {"num_classes": 10}}}
_OF_JOB = {"summary": "What a job has made", "value": {"job": "job_01jd0000000000000000000000"}}
_MODEL_JSON: dict[str, Any] = {
    "schema": {
        "oneOf": [_inline(ModelImport), {"$ref": "#/components/schemas/Architecture"}, _inline(ModelOfJob)],
    },
    "examples": {"import": _IMPORTED, "resnet20": _FRESH, "of a job": _OF_JOB},
}
_DATASET_JSON: dict[str, Any] = {
    "schema": _inline(DatasetImport),
    "examples": {
        "import": {
            "summary": "Fetched from elsewhere",
            "value": {"source": "s3://data/adult.csv", "schema": {"label": "income"}},
        }
    },
}


def form_body(also: Sequence[str]) -> dict[str, Any]:
    """A form with a file and these parts; or JSON in its place."""
    texts = {"name": "Instead of the file's own name.", **{name: _PARTS[name] for name in also}}
    parts = {name: {"type": "string", "description": text} for name, text in texts.items()}
    file = {"file": {"type": "string", "format": "binary"}}
    schema = {"type": "object", "required": ["file"], "properties": {**file, **parts}}
    return {
        "requestBody": {
            "required": True,
            "description": "A form, as a page sends it: `curl -F file=@FILE`.",
            "content": {
                "multipart/form-data": {"schema": schema},
                "application/json": _MODEL_JSON if "architecture" in also else _DATASET_JSON,
            },
        }
    }


UNCHANGED: dict[str, Any] = {"description": "The ETag in If-None-Match is still right."}
BODIES: dict[str, type[BaseModel]] = {}


def json_body(kind: type[BaseModel], summary: str, **example: object) -> dict[str, Any]:
    """A body that no answer has: ``with_bodies`` brings its schema."""
    BODIES[kind.__name__] = kind
    content = {
        "schema": {"$ref": f"#/components/schemas/{kind.__name__}"},
        "examples": {kind.__name__: {"summary": summary, "value": example}},
    }
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def with_bodies(openapi: dict[str, Any]) -> dict[str, Any]:
    """The description with the schemas that only bodies have."""
    schemas = openapi["components"]["schemas"]
    for name, kind in BODIES.items():
        schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= {**schema.pop("$defs", {}), **schemas, name: schema}
    return openapi


def problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The problem responses of a route, as FastAPI's ``responses``: by status, each naming its codes. What may not be
    found may be gone."""
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys((*codes, *(["gone"] if "not_found" in codes else []), *EVERYWHERE)):
        by_status.setdefault(ERRORS[code].status, []).append(code)
    return {status: _response(codes) for status, codes in sorted(by_status.items())}


def _response(codes: list[str]) -> dict[str, Any]:
    return {
        "description": "; ".join(f"`{code}`: {ERRORS[code].title}" for code in codes),
        "content": {
            "application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {code: {"value": _example(code)} for code in codes},
            }
        },
    }


def _example(code: str) -> Mapping[str, object]:
    row = ERRORS[code]
    return {
        "type": f"urn:pith:error:{code}",
        "title": row.title,
        "status": row.status,
        "detail": row.sentence,
        "code": code,
    }


def binary(description: str, *media_types: str) -> dict[str, Any]:
    """Bytes of any of these types; ``application/octet-stream`` when none is named."""
    bytes_of: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
    types = media_types or ("application/octet-stream",)
    content = {name: {} if name == "application/json" else bytes_of for name in types}
    return {"description": description, "content": content}
