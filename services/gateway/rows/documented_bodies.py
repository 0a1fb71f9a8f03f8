"""OpenAPI descriptions of the bodies that the gateway reads itself.

It takes them as bytes, because it tells more exactly than FastAPI what is wrong with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]
ANY_OBJECT: Schema = {"type": "object"}


def documented(content: Mapping[str, Schema]) -> dict[str, Any]:
    """``openapi_extra`` of a route whose body has one of the forms media type -> schema."""
    forms = {media_type: {"schema": schema} for media_type, schema in content.items()}
    return {"requestBody": {"required": True, "content": forms}}


def schema_of(model: type[BaseModel]) -> Schema:
    """The JSON schema of ``model`` without references, which a route cannot hold."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolved(node: Any) -> Any:
        if isinstance(node, list):
            return [resolved(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            return resolved({**definitions[name], **{key: value for key, value in node.items() if key != "$ref"}})
        return {key: resolved(value) for key, value in node.items()}

    return resolved(schema)
