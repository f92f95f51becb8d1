"""The embedded default adds usage up by itself: SQLite, Celery on files, nothing else started."""

import http.client
import json
import os
import sqlite3
import subprocess

import pytest

from tests.gateway.serving import Program, until
from tests.gateway_process import Entry, config_of
from tests.upstream import ROOT, Upstream
from tests.upstream_wire import Behaviour

# Beat asks for it every 30 s.
WITHIN = 75.0


def _key(serve: Program) -> str:
    command = [serve.command[0], "manage.py", "create_key", "--name", "alice", "--quiet"]
    made = subprocess.run(command, cwd=ROOT, env=serve.env, capture_output=True, text=True, check=True)
    return made.stdout.strip()


def _chat(serve: Program, key: str) -> int:
    client = http.client.HTTPConnection("127.0.0.1", serve.port, timeout=10)
    body = json.dumps({"model": "llm", "messages": [{"role": "user", "content": "Hello"}]})
    client.request("POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {key}"})
    status = client.getresponse().status
    client.close()
    return status


def _sums(serve: Program) -> list[tuple[int, int]]:
    path = os.path.join(serve.env["SWITCHYARD_DATA"], "switchyard.sqlite3")
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        return database.execute("SELECT requests, completion_tokens FROM usage_dailyusage").fetchall()
    finally:
        database.close()


@pytest.mark.early
def test_usage_is_added_up_without_postgresql_and_redis() -> None:
    with Upstream() as upstream, Program("manage.py", "serve") as serve:
        serve.with_database()
        upstream.behave(Behaviour(tokens=5))
        config = serve.data / "config.yml"
        config.write_text(config_of([Entry("llm", upstream.url)]))
        serve.command += ["--config", str(config)]
        serve.start().ready()
        key = _key(serve)
        assert [_chat(serve, key) for _ in range(3)] == [200, 200, 200]
        until(lambda: _sums(serve) == [(3, 15)], "sums of three requests", WITHIN)
