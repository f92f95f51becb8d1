"""What is served, for `manage.py spectacular`: `gateway/openapi.json` is made of it and served as it is.

Workers never import this module: views read their bodies by hand, so it is only needed to describe them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from drf_spectacular.openapi import AutoSchema

type Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 1}
_ANY: Json = {}
_MESSAGES: Json = {"type": "array", "items": {"type": "object", "additionalProperties": True}}
_FILE: Json = {"type": "string", "format": "binary"}
_TEXT_OR_LIST: Json = {"oneOf": [_TEXT, {"type": "array", "items": {}}]}
_SOME: Json = {"type": "array", "items": {}, "minItems": 1}
_TEXT_OR_SOME: Json = {"oneOf": [_TEXT, _SOME]}


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method at one address takes and gives.

    `fields`: of its body, those of `required` must be there and others may; `form`: as multipart/form-data.
    `answers`: content types of a good answer.
    """

    summary: str
    tag: str
    fields: Mapping[str, Json] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    form: bool = False
    answers: tuple[str, ...] = ("application/json",)
    query: tuple[str, ...] = ()
    key: bool = True
    anthropic: bool = False


_JSON, _EVENTS, _BINARY = "application/json", "text/event-stream", "application/octet-stream"
_MODEL = {"model": _TEXT}
_STREAM = {"stream": {"type": "boolean", "nullable": True}}


def _model(
    summary: str, tag: str, required: tuple[str, ...], *, answers: tuple[str, ...] = (_JSON,), **fields: Json
) -> Operation:
    return Operation(summary, tag, _MODEL | fields, ("model", *required), answers=answers)


def _form(summary: str, tag: str, **fields: Json) -> Operation:
    given = {"model": _TEXT, **fields}
    return Operation(summary, tag, given, tuple(given), form=True, answers=(_JSON, _EVENTS, "text/plain"))


def _plain(summary: str, tag: str, **more: Any) -> Operation:
    return Operation(summary, tag, **more)


_STREAMED = (_JSON, _EVENTS)
_PAGES = ("limit", "after", "order")
OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("POST", "/chat/completions"): _model(
        "Answer a conversation", "text", ("messages",), answers=_STREAMED,
        messages=_MESSAGES, **_STREAM, n=_COUNT, max_tokens=_COUNT, max_completion_tokens=_COUNT, user=_TEXT,
        tools={"type": "array", "items": {"type": "object"}}, metadata={"type": "object"},
    ),
    ("POST", "/completions"): _model(
        "Continue a text", "text", ("prompt",), answers=_STREAMED,
        prompt=_TEXT_OR_LIST, **_STREAM, n=_COUNT, max_tokens=_COUNT, user=_TEXT,
    ),
    ("POST", "/responses"): _model(
        "Make a response", "text", (), answers=_STREAMED,
        input=_TEXT_OR_LIST, instructions=_TEXT, **_STREAM, max_output_tokens=_COUNT,
        previous_response_id=_TEXT,
    ),
    ("GET", "/responses/{name}"): _plain("A response that its provider keeps", "text", query=("stream",)),
    ("DELETE", "/responses/{name}"): _plain("Delete a response", "text"),
    ("GET", "/responses/{name}/input_items"): _plain("The input of a response", "text", query=_PAGES),
    ("POST", "/responses/{name}/cancel"): _plain("Cancel a response in the background", "text"),
    ("POST", "/messages"): Operation(
        "Answer a conversation, as Anthropic's clients ask", "text",
        {**_MODEL, "messages": _MESSAGES, "max_tokens": _COUNT, "system": _TEXT_OR_LIST, **_STREAM},
        ("model", "messages"), answers=_STREAMED, anthropic=True,
    ),
    ("POST", "/messages/count_tokens"): Operation(
        "How many tokens a conversation has", "text",
        {**_MODEL, "messages": _MESSAGES, "system": _TEXT_OR_LIST}, ("model", "messages"), anthropic=True,
    ),
    ("POST", "/embeddings"): _model(
        "Vectors of texts", "vectors", ("input",), input=_TEXT_OR_SOME, dimensions=_COUNT, user=_TEXT,
        encoding_format={"type": "string", "enum": ["float", "base64"]},
    ),
    ("POST", "/moderations"): _model("Whether texts may be shown", "text", ("input",), input=_TEXT_OR_SOME),
    ("POST", "/rerank"): _model(
        "Documents by how well they answer", "vectors", ("query", "documents"),
        query=_TEXT, documents=_SOME, top_n=_COUNT,
    ),
    ("POST", "/images/generations"): _model(
        "Draw a picture", "pictures", ("prompt",), answers=_STREAMED, prompt=_TEXT, n=_COUNT, **_STREAM,
    ),
    ("POST", "/images/edits"): _form("Change a picture", "pictures", image=_FILE, prompt=_TEXT),
    ("POST", "/images/variations"): _form("Vary a picture", "pictures", image=_FILE),
    ("POST", "/audio/speech"): _model(
        "Speak a text", "sound", ("input", "voice"), answers=(_BINARY, "audio/mpeg", _EVENTS),
        input=_TEXT, voice=_ANY, instructions=_TEXT,
    ),
    ("POST", "/audio/transcriptions"): _form("What is said, in its language", "sound", file=_FILE),
    ("POST", "/audio/translations"): _form("What is said, in English", "sound", file=_FILE),
    ("GET", "/files"): _plain("Your files", "files", query=(*_PAGES, "purpose")),
    ("POST", "/files"): Operation(
        "Keep a file at a provider", "files", {"file": _FILE, "purpose": _TEXT}, ("file", "purpose"),
        form=True, query=("provider", "model"),
    ),
    ("GET", "/files/{name}"): _plain("What a file is", "files"),
    ("DELETE", "/files/{name}"): _plain("Delete a file", "files"),
    ("GET", "/files/{name}/content"): _plain(
        "What is in a file", "files", answers=(_BINARY, _JSON, "text/plain")
    ),
    ("GET", "/batches"): _plain("Your batches", "files", query=_PAGES),
    ("POST", "/batches"): Operation(
        "Ask much at once, for later", "files",
        {"input_file_id": _TEXT, "endpoint": _TEXT, "completion_window": _TEXT}, ("input_file_id",),
    ),
    ("GET", "/batches/{name}"): _plain("How far a batch is", "files"),
    ("POST", "/batches/{name}/cancel"): _plain("Cancel a batch", "files"),
    ("GET", "/models"): _plain("The models that your key may use", "models"),
    ("GET", "/models/{name}"): _plain("One model by its name", "models"),
    ("GET", "/usage"): _plain("What your key used, and its limits", "usage", query=("days", "end_user")),
    ("POST", "/api/routing/explain"): Operation(
        "Where a request goes and why", "operators",
        {"model": _TEXT, "key": _TEXT, "tags": _ANY, "stream": {"type": "boolean"}, "request_id": _TEXT},
    ),
    ("GET", "/metrics"): _plain("Counters for Prometheus", "operators", answers=("text/plain",), key=False),
    ("GET", "/openapi.json"): _plain("This document", "operators", key=False),
    **{
        ("GET", f"/health{part}"): _plain("Whether the gateway lives", "operators", key=False)
        for part in ("", "/live", "/liveliness", "/liveness")
    },
    **{
        ("GET", f"/health{part}"): _plain("Whether it can serve", "operators", key=False)
        for part in ("/ready", "/readiness")
    },
}  # fmt: skip


class Schema(AutoSchema):
    """Describes an operation by the table above; one that is not in it is an error."""

    def get_operation(self, path: str, path_regex: str, path_prefix: str, method: str, registry: Any) -> Json:
        """In the form of OpenAPI 3.0."""
        told = OPERATIONS[method, path]
        parameters = [_parameter("path", "name")] if "{name}" in path else []
        parameters += [_parameter("query", name) for name in told.query]
        operation: Json = {
            "operationId": _id(method, path),
            "summary": told.summary,
            "tags": [told.tag],
            "responses": _responses(told),
            "security": [{"bearer": []}, {"x-api-key": []}, {"api-key": []}] if told.key else [],
        }
        if parameters:
            operation["parameters"] = parameters
        if told.fields:
            kind = "multipart/form-data" if told.form else _JSON
            operation["requestBody"] = {"required": True, "content": {kind: {"schema": _body(told)}}}
        return operation


def _id(method: str, path: str) -> str:
    return method.lower() + path.replace("/", "_").replace("{name}", "one").replace(".", "_")


def _parameter(where: str, name: str) -> Json:
    schema = {"type": "string", "minLength": 1} if where == "path" else {"type": "string"}
    return {"in": where, "name": name, "required": where == "path", "schema": schema}


def _body(told: Operation) -> Json:
    """Fields that are not named pass on to the provider."""
    body: Json = {"type": "object", "properties": dict(told.fields), "additionalProperties": True}
    return body | {"required": list(told.required)} if told.required else body


def _responses(told: Operation) -> Json:
    whole = {"type": "object", "additionalProperties": True}
    content = {kind: {"schema": {_JSON: whole, _EVENTS: _ANY}.get(kind, _TEXT)} for kind in told.answers}
    form = "AnthropicError" if told.anthropic else "Error"
    failed = {"content": {_JSON: {"schema": {"$ref": f"#/components/schemas/{form}"}}}}
    return {
        "200": {"description": "What was asked for", "content": content},
        "default": {"description": "Why not", **failed},
    }


def completed(result: Json, generator: Any, request: Any, public: bool) -> Json:
    """What operations share; called by drf-spectacular with the whole document."""
    nullable = {"type": "string", "nullable": True}
    error = {"message": _TEXT, "type": _TEXT, "param": nullable, "code": nullable}
    inner = {"type": "object", "properties": error, "required": list(error)}
    said = {"type": _TEXT, "message": _TEXT}
    anthropic = {"type": "object", "properties": said, "required": list(said)}
    typed = {"type": {"type": "string", "enum": ["error"]}, "error": anthropic}
    result["servers"] = [{"url": "/v1"}, {"url": "/"}]
    result["components"] = {
        "schemas": {
            "Error": {"type": "object", "properties": {"error": inner}, "required": ["error"]},
            "AnthropicError": {"type": "object", "properties": typed, "required": list(typed)},
        },
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"},
            "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
        },
    }
    return result
