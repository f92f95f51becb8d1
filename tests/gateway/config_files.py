"""Importing config files in tests."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management import call_command

SHIPPED = Path(__file__).parents[2] / "config" / "config.yml"


def run(command: str, *arguments: object, **options: object) -> str:
    """What a command prints on stdout."""
    out = StringIO()
    call_command(command, *map(str, arguments), stdout=out, **options)
    return out.getvalue()


def imported(path: Path, *flags: str) -> dict[str, Any]:
    """The JSON report of an import."""
    report: dict[str, Any] = json.loads(run("import_config", path, *flags, format="json"))
    return report


def actions(report: dict[str, Any]) -> set[str]:
    return {item["action"] for item in report["plan"]}


def item(report: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    return next(item for item in report["plan"] if (item["object"], item["name"]) == (kind, name))


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yml"
    path.write_text(text)
    return path
