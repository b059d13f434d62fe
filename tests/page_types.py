"""Write assets/js/types: the types of traces and recordings for the page's modules, from the dataclasses:

python tests/page_types.py
"""

import json
from pathlib import Path

from pydantic import TypeAdapter

from adaedl.replay.recording import Recording
from adaedl.trace import Trace

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "js" / "types"
FORMS = {"trace.d.ts": Trace, "recording.d.ts": Recording}
HEAD = "// Made by tests/page_types.py from {source}, which says what each field is.\n"


def declarations() -> dict[str, str]:
    """Return the content of each file: an interface for each dataclass, or an import."""
    files, homes = {}, {}
    for file, form in FORMS.items():
        schema = TypeAdapter(form).json_schema(mode="serialization")
        interfaces = {**schema["$defs"], form.__name__: schema}
        source = form.__module__.replace(".", "/") + ".py"
        parts = [_imports({name: homes[name] for name in interfaces if name in homes})]
        parts += [_interface(name, part) for name, part in interfaces.items() if name not in homes]
        files[file] = "\n".join([HEAD.format(source=source), *filter(None, parts)])
        homes = dict.fromkeys(interfaces, file) | homes
    return files


def _imports(homes: dict[str, str]) -> str:
    return "".join(f'import type {{ {name} }} from "./{file}";\n' for name, file in homes.items())


def _interface(name: str, form: dict) -> str:
    fields = [f"  {field}: {_type(part)};\n" for field, part in form["properties"].items()]
    return f"export interface {name} {{\n{''.join(fields)}}}\n"


def _type(part: dict) -> str:
    """Return the TypeScript type of a part of a JSON schema."""
    match part:
        case {"$ref": address}:
            return address.rpartition("/")[2]
        case {"anyOf": parts}:
            return " | ".join(dict.fromkeys(map(_type, parts)))
        case {"const": value}:
            return json.dumps(value)
        case {"enum": values}:
            return " | ".join(map(json.dumps, values))
        case {"type": "array", "prefixItems": items}:
            return f"[{', '.join(map(_type, items))}]"
        case {"type": "array", "items": item}:
            return f"{_type(item)}[]"
        case {"type": "object", "additionalProperties": dict(value)}:
            return f"Record<string, {_type(value)}>"
        case {"type": "object", "patternProperties": values}:
            return f"Record<string, {' | '.join(map(_type, values.values()))}>"
        case {"type": "integer" | "number"}:
            return "number"
        case {"type": "string" | "boolean" | "null" as name}:
            return name
    raise ValueError(f"no TypeScript type for {part}")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, content in declarations().items():
        (FOLDER / file).write_text(content, "utf-8")
