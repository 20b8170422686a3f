"""The extension `bazaar`: how a paid resource is called, so that a facilitator may list it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from aisa.protocol.fields import Fields
from aisa.protocol.strictjson import JsonObject, JsonValue, malformed, present

BAZAAR: Final = "bazaar"
TEXT_CHARS_MAX: Final = 4096
QUERY_METHODS: Final = ("GET", "HEAD", "DELETE")
BODY_METHODS: Final = ("POST", "PUT", "PATCH")
BODY_TYPES: Final = ("json", "form-data", "text")
_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_TOOL: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class HttpInput:
    """A call over HTTP, by example; `body_type` is None for methods that have no body.

    `method` may be None: peers add it only when they see the route.
    """

    method: str | None
    query: JsonObject | None = None
    path: JsonObject | None = None
    headers: JsonObject | None = None
    body_type: str | None = None
    body: JsonValue = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return present(
            {
                "type": "http",
                "method": self.method,
                "bodyType": self.body_type,
                "body": self.body,
                "queryParams": self.query,
                "pathParams": self.path,
                "headers": self.headers,
            },
        )

    def schema(self) -> dict[str, JsonValue]:
        """Return the JSON Schema that a catalogue checks the input by."""
        methods = QUERY_METHODS if self.body_type is None else BODY_METHODS
        properties: dict[str, JsonValue] = {
            "type": {"type": "string", "const": "http"},
            "method": {"type": "string", "enum": list(methods)},
        }
        required = ["type", "method"]
        if self.body_type is not None:
            properties["bodyType"] = {"type": "string", "enum": list(BODY_TYPES)}
            properties["body"] = {}
            required.append("bodyType")
        for name, value in (
            ("queryParams", self.query),
            ("pathParams", self.path),
            ("headers", self.headers),
        ):
            if value is not None:
                properties[name] = {"type": "object"}
        return {"type": "object", "properties": properties, "required": required}


@dataclass(frozen=True, slots=True)
class McpInput:
    """A tool of an MCP server; `input_schema` is the tool's own."""

    tool: str
    input_schema: JsonObject
    description: str | None = None
    transport: str | None = None
    example: JsonObject | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return present(
            {
                "type": "mcp",
                "toolName": self.tool,
                "description": self.description,
                "transport": self.transport,
                "inputSchema": self.input_schema,
                "example": self.example,
            },
        )

    def schema(self) -> dict[str, JsonValue]:
        """Return the JSON Schema that a catalogue checks the input by."""
        return {
            "type": "object",
            "properties": {
                "type": {"type": "string", "const": "mcp"},
                "toolName": {"type": "string"},
                "description": {"type": "string"},
                "transport": {"type": "string", "enum": ["streamable-http", "sse"]},
                "inputSchema": {"type": "object"},
                "example": {"type": "object"},
            },
            "required": ["type", "toolName", "inputSchema"],
        }


DiscoveryInput: TypeAlias = "HttpInput | McpInput"


@dataclass(frozen=True, slots=True)
class Discovery:
    """How a resource is called and, by example, what it answers (`output_type` such as `json`)."""

    input: DiscoveryInput
    output_type: str | None = None
    output_example: JsonValue = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object of the extension, with its schema."""
        info: dict[str, JsonValue] = {"input": self.input.to_json()}
        properties: dict[str, JsonValue] = {"input": self.input.schema()}
        if self.output_type is not None or self.output_example is not None:
            info["output"] = present({"type": self.output_type, "example": self.output_example})
            properties["output"] = {"type": "object"}
        schema: dict[str, JsonValue] = {
            "$schema": _DRAFT,
            "type": "object",
            "properties": properties,
            "required": ["input"],
        }
        return {"info": info, "schema": schema}

    @classmethod
    def read(cls, extensions: JsonObject | None) -> Discovery | None:
        """Read it from the extensions of an offer or a payment; None when it is not among them.

        Raises:
            MalformedMessage: a member is missing or breaks its bounds; names it.
        """
        fields = Fields("extensions", extensions or {})
        if fields.optional_object(BAZAAR) is None:
            return None
        info = fields.fields(BAZAAR).fields("info")
        output = Fields(info.path("output"), info.optional_object("output") or {})
        return cls(
            input=_read_input(info.fields("input")),
            output_type=output.optional_text("type", chars_max=64),
            output_example=output.members.get("example"),
        )


def _read_input(fields: Fields) -> DiscoveryInput:
    kind = fields.text("type", chars_max=8)
    if kind == "mcp":
        return McpInput(
            tool=fields.text("toolName", chars_max=256, pattern=_TOOL),
            input_schema=fields.object("inputSchema"),
            description=fields.optional_text("description", chars_max=TEXT_CHARS_MAX),
            transport=_one_of(fields, "transport", ("streamable-http", "sse")),
            example=fields.optional_object("example"),
        )
    if kind != "http":
        raise malformed(fields.path("type"), "is neither http nor mcp")
    body_type = _one_of(fields, "bodyType", BODY_TYPES)
    methods = QUERY_METHODS if body_type is None else BODY_METHODS
    return HttpInput(
        method=_one_of(fields, "method", methods),
        query=fields.optional_object("queryParams"),
        path=fields.optional_object("pathParams"),
        headers=fields.optional_object("headers"),
        body_type=body_type,
        body=None if body_type is None else fields.members.get("body"),
    )


def _one_of(fields: Fields, name: str, words: tuple[str, ...]) -> str | None:
    word = fields.optional_text(name, chars_max=32)
    if word is not None and word not in words:
        raise malformed(fields.path(name), f"is not one of {', '.join(words)}")
    return word
