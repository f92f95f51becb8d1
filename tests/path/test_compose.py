"""The compose file's own processes, commands and environment, run on loopback and driven by one chat."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from tests.gateway_process import Entry, config_of, free_port
from tests.upstream import ROOT, Upstream, die_with_parent

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("gateway", "worker", "beat")
# Beat asks for the roll-up every 30 s.
ROLLED_UP_WITHIN = 60.0


@dataclass(frozen=True)
class Stack:
    """What stands in for the containers' network and files."""

    folder: Path
    secrets: dict[str, str]
    hosts: dict[str, str]
    port: int

    def environment(self, service: str) -> dict[str, str]:
        """The service's environment as compose would make it, with loopback addresses."""
        given = self.secrets if "env_file" in SERVICES[service] else {}
        declared = {name: self.filled_in(value) for name, value in SERVICES[service]["environment"].items()}
        data = self.folder / service
        data.mkdir(exist_ok=True)
        own = {"SWITCHYARD_DATA": str(data), "SWITCHYARD_ENV_FILE": os.devnull}
        return {"PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}", **given, **declared, **own}

    def filled_in(self, text: str) -> str:
        """`text` with its variables' values or defaults, and the services' addresses, in place."""
        optional = re.compile(r"\$\{(\w+):-([^}]*)\}")
        known = optional.sub(lambda found: self.secrets.get(found[1]) or found[2], text)
        known = re.sub(r"\$\{(\w+)[^}]*\}", lambda found: self.secrets[found[1]], known)
        return self.hosts.get(re.sub(r"//.*@", "//", known), known)

    def command(self, service: str) -> list[str]:
        places = {
            "4000": str(self.port),
            "0.0.0.0": "127.0.0.1",
            "config/config.yml": str(self.folder / "config.yml"),
        }
        words = [places.get(word, word) for word in SERVICES[service]["command"]]
        return [word.replace("/data/", f"{self.folder / service}/") for word in words]

    def in_gateway(self, *words: str) -> str:
        """`docker compose exec gateway python manage.py WORDS`."""
        done = subprocess.run(
            ["python", "manage.py", *words],
            cwd=ROOT,
            env=self.environment("gateway"),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as provider:
        yield provider


@pytest.fixture
def stack(tmp_path: Path, upstream: Upstream, postgres_database: str, redis_url: str) -> Stack:
    (tmp_path / "config.yml").write_text(config_of([Entry("llm", upstream.url)]))
    hosts = {"postgres://postgres:5432/switchyard": postgres_database, "redis://redis:6379/0": redis_url}
    return Stack(tmp_path, _made_secrets(tmp_path / ".env"), hosts, free_port())


def _made_secrets(file: Path) -> dict[str, str]:
    subprocess.run([str(ROOT / "scripts/env.sh"), str(file)], check=True, capture_output=True)
    lines = (line.partition("=") for line in file.read_text().splitlines() if line and line[0] != "#")
    return {name: value for name, _, value in lines}


@contextmanager
def _running(stack: Stack, service: str) -> Iterator[subprocess.Popen[bytes]]:
    log = stack.folder / f"{service}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            stack.command(service),
            cwd=ROOT,
            env=stack.environment(service),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        yield process
        assert process.poll() is None, f"{service} ended by itself: {log.read_text()}"
    except BaseException:
        print(f"--- {service}\n{log.read_text()}")
        raise
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _wait[T](seconds: float, ask: Callable[[], T | None], what: str) -> T:
    deadline = time.monotonic() + seconds
    while (answer := ask()) is None:
        assert time.monotonic() < deadline, f"no {what} within {seconds} s"
        time.sleep(0.1)
    return answer


def _until_healthy(stack: Stack, gateway: subprocess.Popen[bytes]) -> None:
    """Asks as the compose file's own health check does."""
    _, program, *words = SERVICES["gateway"]["healthcheck"]["test"]
    words = [word.replace(":4000/", f":{stack.port}/") for word in words]

    def healthy() -> bool | None:
        assert gateway.poll() is None, "the gateway ended by itself"
        done = subprocess.run([program, *words], env=stack.environment("gateway"), capture_output=True)
        return True if done.returncode == 0 else None

    _wait(60, healthy, "healthy gateway")


def _chat(stack: Stack, key: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{stack.port}/v1/chat/completions",
        data=json.dumps({"model": "llm", "messages": [{"role": "user", "content": "Hello"}]}).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        body = json.loads(answer.read())
    assert isinstance(body, dict)
    return body


def _exported(stack: Stack) -> dict[str, Any] | None:
    rows = [json.loads(line) for line in stack.in_gateway("export_usage").splitlines()]
    assert len(rows) <= 1, f"one chat, {len(rows)} rows"
    return rows[0] if rows else None


def _rolled_up(database: str) -> tuple[int, int] | None:
    sums = "SELECT sum(requests), sum(completion_tokens) FROM usage_hourlyusage"
    with psycopg.connect(database) as connection:
        row = connection.execute(sums).fetchone()
    return None if row is None or row[0] is None else (int(row[0]), int(row[1]))


@pytest.mark.postgres
@pytest.mark.redis
@pytest.mark.early
def test_one_chat_through_the_composed_processes_is_counted_and_rolled_up(
    stack: Stack, postgres_database: str
) -> None:
    with ExitStack() as processes:
        _until_healthy(stack, processes.enter_context(_running(stack, "gateway")))
        processes.enter_context(_running(stack, "worker"))
        processes.enter_context(_running(stack, "beat"))
        key = stack.in_gateway("create_key", "--name", "alice", "--quiet").strip()
        assert _chat(stack, key)["choices"][0]["message"]["content"]
        row = _wait(10, lambda: _exported(stack), "usage row")
        assert (row["key"], row["model"], row["status"]) == ("alice", "llm", "ok")
        counted = _wait(ROLLED_UP_WITHIN, lambda: _rolled_up(postgres_database), "roll-up")
        assert counted == (1, row["completion_tokens"])


@pytest.mark.postgres
@pytest.mark.redis
def test_the_generated_master_key_opens_the_composed_gateway(stack: Stack) -> None:
    with _running(stack, "gateway") as gateway:
        _until_healthy(stack, gateway)
        assert _chat(stack, stack.secrets["SWITCHYARD_MASTER_KEY"])["object"] == "chat.completion"


def test_open_webui_asks_the_gateway_for_everything() -> None:
    environment = SERVICES["openwebui"]["environment"]
    bases = {name: value for name, value in environment.items() if name.endswith("_BASE_URL")}
    assert set(bases) == {
        "OPENAI_API_BASE_URL",
        "RAG_OPENAI_API_BASE_URL",
        "AUDIO_STT_OPENAI_API_BASE_URL",
        "AUDIO_TTS_OPENAI_API_BASE_URL",
        "IMAGES_OPENAI_API_BASE_URL",
        "IMAGES_EDIT_OPENAI_API_BASE_URL",
    }
    assert set(bases.values()) == {"http://gateway:4000/v1"}
    keys = {environment[name.replace("_BASE_URL", "_KEY")] for name in bases}
    assert keys == {"${SWITCHYARD_MASTER_KEY:?run make env first}"}


def test_secrets_come_from_the_environment_and_the_journal_outlives_its_container() -> None:
    assert not re.search(r"sk-|PASSWORD: [a-z]|SECRET_KEY: [a-z]", (ROOT / "docker-compose.yaml").read_text())
    assert "gateway_data:/data" in SERVICES["gateway"]["volumes"]
    assert "./config/config.yml:/app/config/config.yml:ro" in SERVICES["gateway"]["volumes"]


@pytest.mark.parametrize("service", OURS)
def test_each_process_waits_for_what_it_needs(service: str) -> None:
    needed = SERVICES[service]["depends_on"]
    assert set(needed) == ({"postgres", "redis"} if service == "gateway" else {"gateway"})
    assert {each["condition"] for each in needed.values()} == {"service_healthy"}
