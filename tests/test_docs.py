"""Documents that cannot rot: every setting has its line, and every command in them exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from providers.litellm_policies import POLICIES
from providers.litellm_records import MODEL_SETTINGS
from providers.litellm_sections import APPLIED
from providers.litellm_tables import MODEL_INFO

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = [
    ROOT / "manage.py",
    *(path for app in ("gateway", "usage", "keys", "providers") for path in (ROOT / app).rglob("*.py")),
]
# Django's own switch and Python's, not settings of the gateway.
NOT_SETTINGS = {"DJANGO_SETTINGS_MODULE"}
ENVIRONMENT = re.compile(r"(env|environ|os\.environ)(\.\w+)?")
SETTING_LINE = re.compile(r"^\| `([A-Z_]+)` \| (.+?) \| .+ \|$", re.MULTILINE)


def _documented() -> dict[str, str]:
    lines = SETTING_LINE.findall((ROOT / "docs/settings.md").read_text())
    assert len(dict(lines)) == len(lines), "a setting has two lines"
    return dict(lines)


def _reads(path: Path) -> Iterator[tuple[str, ast.Call | ast.Subscript]]:
    """Names that a module takes from the environment, each with the place that does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and node.args:
            where, name = node.func, node.args[0]
        elif isinstance(node, ast.Subscript):
            where, name = node.value, node.slice
        else:
            continue
        if ENVIRONMENT.fullmatch(ast.unparse(where)) and isinstance(name, ast.Constant):
            yield str(name.value), node


def _defaults() -> dict[str, object]:
    """Each setting's literal default; settings whose default is computed or empty are left out."""
    found = {}
    for name, call in _reads(ROOT / "gateway/settings.py"):
        given = [each.value for each in getattr(call, "keywords", []) if each.arg == "default"]
        if (
            given
            and isinstance(given[0], ast.Constant | ast.List)
            and ast.literal_eval(given[0]) not in ("", [])
        ):
            found[name] = ast.literal_eval(given[0])
    return found


def _console_lines() -> list[str]:
    blocks = [
        block for page in PAGES for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    inline = [code for page in PAGES for code in re.findall(r"`([^`\n]+)`", page.read_text())]
    return [line.split(" #")[0].strip() for line in "\n".join(blocks + inline).splitlines()]


def test_every_setting_is_on_the_settings_page_and_every_line_is_a_setting() -> None:
    read = {name for path in SOURCES for name, _ in _reads(path)} - NOT_SETTINGS
    assert "ALLOWED_PRIVATE_UPSTREAMS" in read
    assert set(_documented()) == read


@pytest.mark.parametrize(("name", "default"), _defaults().items())
def test_the_settings_page_has_the_default(name: str, default: object) -> None:
    written = ",".join(default) if isinstance(default, list) else str(default)
    assert _documented()[name] == f"`{written}`"


def test_every_make_target_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for line in _console_lines() for word in re.findall(r"\bmake (\w+)", line)}
    assert {"demo", "env", "run", "test"} <= named
    assert named <= targets


def test_every_management_command_in_the_documents_exists_with_its_options() -> None:
    named = [
        match for line in _console_lines() for match in re.findall(r"manage\.py ([a-z_]+)([^&|]*)", line)
    ]
    assert {"create_key", "import_config", "createsuperuser"} <= {command for command, _ in named}
    apps = get_commands()
    for command, rest in named:
        assert command in apps, f"manage.py {command}"
        app = apps[command]
        assert isinstance(app, str)
        known = load_command_class(app, command).create_parser("manage.py", command)._option_string_actions
        unknown = set(re.findall(r"--[a-z-]+", rest)) - set(known)
        assert not unknown, f"manage.py {command} {unknown}"


def test_every_setting_of_routing_in_a_config_file_is_on_its_page() -> None:
    text = (ROOT / "docs/config-file.md").read_text()
    named = set(re.findall(r"`(\w+)`", text))
    settings = {*APPLIED["router_settings"], *MODEL_SETTINGS}
    own = {name for name in MODEL_INFO if name.startswith("switchyard_")}
    assert settings | own <= named
    assert set(re.findall(r"`(switchyard_\w+)`", text)) == own
    assert set(POLICIES) <= named


def test_every_compose_service_in_the_documents_exists() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
    named = {word for line in _console_lines() for word in re.findall(r"docker compose exec (\w+)", line)}
    assert named == {"gateway"}
    assert named <= set(services)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_paths_in_the_documents_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    paths = re.findall(r"`((?:gateway|usage|keys|providers|tests|docs|scripts|config)/[\w./]+)", text)
    gone = [link for link in links if not (page.parent / link).exists()]
    assert gone + [path for path in paths if not (ROOT / path).exists()] == []
