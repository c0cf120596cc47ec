"""A page about the APIs for people, made from their own description and needing nothing from elsewhere."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;
color:#1c2733;background:#fff}
h1{font-size:1.6rem}h2{margin-top:2.5rem;border-bottom:1px solid #ccd5dd}
details{border:1px solid #ccd5dd;border-radius:6px;margin:.5rem 0;padding:.4rem .8rem}
summary{cursor:pointer}code,pre{font:13px/1.45 ui-monospace,monospace}
pre{background:#f4f7f9;padding:.7rem;overflow:auto;border-radius:4px}
.method{display:inline-block;min-width:4.5rem;font-weight:600}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .6rem;
border-bottom:1px solid #e4eaef;vertical-align:top}
@media(prefers-color-scheme:dark){body{color:#dbe4ec;background:#12181e}pre{background:#1b242d}
details,h2,td,th{border-color:#33414d}a{color:#7fb8e6}}
"""

Document = Mapping[str, Any]


def page(openapi: Document) -> str:
    """The whole page."""
    info = openapi["info"]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])}</title>"
        f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info.get('description', ''))}</p>"
        "<p>The same for programs: <a href=/openapi.json>openapi.json</a></p>"
        + "".join(_section(openapi, tag) for tag in _tags(openapi))
        + "</html>"
    )


def _tags(openapi: Document) -> list[str]:
    return sorted({tag for _, _, operation in _operations(openapi) for tag in operation.get("tags", ["Service"])})


def _operations(openapi: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _section(openapi: Document, tag: str) -> str:
    parts = [
        _operation(openapi, path, method, operation)
        for path, method, operation in _operations(openapi)
        if tag in operation.get("tags", ["Service"])
    ]
    return f"<h2>{escape(tag)}</h2>" + "".join(parts)


def _operation(openapi: Document, path: str, method: str, operation: Document) -> str:
    return (
        f"<details id='{escape(operation['operationId'])}'><summary><span class=method>{method.upper()}</span>"
        f"<code>{escape(path)}</code> {escape(operation['operationId'])}</summary>"
        f"<p>{escape(operation.get('description', ''))}</p>"
        + _parameters(operation)
        + _content("Request body", openapi, operation.get("requestBody", {}))
        + "".join(_answer(openapi, status, it) for status, it in operation.get("responses", {}).items())
        + "</details>"
    )


def _parameters(operation: Document) -> str:
    rows = [
        f"<tr><td><code>{escape(it['name'])}</code><td>{it['in']}<td>{escape(json.dumps(it.get('schema', {})))}"
        f"<td>{escape(it.get('description', ''))}"
        for it in operation.get("parameters", [])
    ]
    return f"<table><tr><th>parameter<th>in<th>kind<th>meaning{''.join(rows)}</table>" if rows else ""


def _answer(openapi: Document, status: str, answer: Document) -> str:
    return _content(f"{status} {answer.get('description', '')}", openapi, answer)


def _content(title: str, openapi: Document, holder: Document) -> str:
    content = holder.get("content", {}).get("application/json", {})
    if "schema" not in content:
        return f"<h4>{escape(title)}</h4>" if holder else ""
    sketch = json.dumps(_sketch(openapi, content["schema"], 6), indent=2, ensure_ascii=False)
    return f"<h4>{escape(title)}</h4><pre>{escape(sketch)}</pre>"


def _sketch(openapi: Document, schema: Document, depth: int) -> Any:
    """An example of a value, as far as the schema tells one."""
    if "$ref" in schema:
        named = openapi["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return _sketch(openapi, named, depth - 1) if depth else "…"
    if schema.get("examples"):
        return schema["examples"][0]
    if "anyOf" in schema:
        return _sketch(openapi, schema["anyOf"][0], depth)
    if "enum" in schema:
        return "|".join(str(word) for word in schema["enum"])
    if schema.get("type") == "object":
        return {key: _sketch(openapi, it, depth) for key, it in schema.get("properties", {}).items()}
    if schema.get("type") == "array":
        return [_sketch(openapi, schema.get("items", {}), depth)]
    return schema.get("default", schema.get("const", schema.get("type", "any")))
