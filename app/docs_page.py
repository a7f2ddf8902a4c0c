"""The page at /docs: the OpenAPI description as plain HTML, with curl lines to paste. No script, no network."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from app.pages import static

Spec = Mapping[str, Any]
WAYS = (("/", "Overview"), ("/jobs", "Jobs"), ("/models", "Models"), ("/datasets", "Datasets"))


def page(title: str, body: str) -> str:
    ways = "".join(f"<li><a href='{path}'>{name}</a></li>" for path, name in WAYS)
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{escape(title)}</title>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<link rel=icon href='{static.address('pith.svg')}' type='image/svg+xml'>"
        f"<link rel=stylesheet href='{static.address('pith.css')}'></head><body>"
        f"<header class=top><a class=brand href='/'>Pith</a><nav aria-label=Main><ul>{ways}</ul></nav></header>"
        f"<main class=docs>{body}</main></body></html>"
    )


def render(openapi: Spec, base_url: str, with_key: bool = False) -> str:
    info = openapi["info"]
    body = [f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>"]
    body += [f"<p>{_marked(part)}</p>" for part in info["description"].split("\n\n")]
    body.append("<p>The same for programs: <a href='/openapi.json'>/openapi.json</a>.</p>")
    body.append(_contents(openapi["paths"]))
    for path, methods in openapi["paths"].items():
        for method, route in methods.items():
            body.extend(_route(method.upper(), path, route, base_url.rstrip("/"), with_key))
    for name, schema in openapi["components"]["schemas"].items():
        shown = escape(json.dumps(schema, indent=2, ensure_ascii=False))
        body.append(
            f"<details id='{escape(name)}'><summary>Schema <b>{escape(name)}</b></summary>"
            f"<pre tabindex=0>{shown}</pre></details>"
        )
    return page(f"{info['title']}: routes", "".join(body))


def _contents(paths: Spec) -> str:
    lines = (
        f"<li><a href='#{_anchor(method, path)}'><code>{method.upper()} {escape(path)}</code></a> "
        f"{escape(route.get('summary', ''))}</li>"
        for path, methods in paths.items()
        for method, route in methods.items()
    )
    return f"<details><summary>All routes</summary><ul class=plain>{''.join(lines)}</ul></details>"


def _anchor(method: str, path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", f"{method} {path}".lower()).strip("-")


def curl(method: str, path: str, route: Spec, base_url: str, with_key: bool = False) -> str:
    """A line that works when pasted, once ids are put in; the example values are the description's own."""
    for parameter in route.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(_example_of(parameter)))
    content = route.get("requestBody", {}).get("content", {})
    to_file = ["-O"] if "206" in route["responses"] else []
    key = ' -H "Authorization: Bearer $PITH_API_KEY"' if with_key and "security" in route else ""
    words = [
        *([] if method in {"GET", "PUT"} else ["-X", method]),
        *to_file,
        *_body_words(content, path),
    ]
    return f"curl -sS{key} {shlex.join([*words, base_url + path])}"


def _body_words(content: Spec, path: str) -> list[str]:
    file = "dataset.npz" if path.endswith("/datasets") else "model.pt2"
    if "multipart/form-data" in content:
        return ["-F", f"file=@{file}"]
    if "application/json" in content:
        example = next(iter(content["application/json"]["examples"].values()))["value"]
        return ["-H", "Content-Type: application/json", "-d", json.dumps(example)]
    return ["-T", file] if "application/octet-stream" in content else []


def _example_of(parameter: Spec) -> object:
    return next(iter(parameter.get("examples", parameter.get("schema", {}).get("examples", ["ID"]))), "ID")


def _route(method: str, path: str, route: Spec, base_url: str, with_key: bool) -> Iterator[str]:
    yield f"<h2 id='{_anchor(method, path)}'><code>{method} {escape(path)}</code></h2>"
    yield f"<p>{escape(route.get('summary', ''))}"
    yield f"<br>{_marked(route['description'])}</p>" if "description" in route else "</p>"
    yield f"<pre tabindex=0>{escape(curl(method, path, route, base_url, with_key))}</pre>"
    if (body := route.get("requestBody", {}).get("content", {})) and "application/json" in body:
        schema = body["application/json"]["schema"]
        named = " or ".join(map(_document, schema.get("oneOf", [schema])))
        yield f"<p>The body is {'a form, or ' if len(body) > 1 else ''}JSON: {named}.</p>"
    if rows := "".join(map(_parameter, route.get("parameters", ()))):
        yield f"<details><summary>Parameters</summary><table>{rows}</table></details>"
    answers = "".join(
        f"<tr><td>{escape(status)}<td>{_marked(answer.get('description', ''))}</tr>"
        for status, answer in sorted(route["responses"].items())
    )
    yield f"<details><summary>Answers</summary><table>{answers}</table></details>"


def _document(schema: Spec) -> str:
    """What a body may be: a link, or its fields where it is described nowhere else."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"<a href='#{name}'>{name}</a>"
    return f"{escape(schema['title'])} ({', '.join(map(escape, schema['properties']))})"


def _marked(text: str) -> str:
    """Escaped, with what stands between backquotes as code."""
    return re.sub(r"(`{1,2})([^`]+)\1", r"<code>\2</code>", escape(text))


def _parameter(parameter: Spec) -> str:
    name, place = escape(parameter["name"]), escape(parameter["in"])
    return f"<tr><td><code>{name}</code><td>{place}<td>{_marked(parameter.get('description', ''))}</tr>"
