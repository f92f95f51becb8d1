"""A config file imported by `serve`, and what happens when it is broken."""

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.gateway.serving import Program
from tests.gateway_process import Entry, config_of

CONFIG = config_of([Entry("llm", "http://127.0.0.1:9/v1")])


@pytest.fixture
def serve() -> Iterator[Program]:
    with Program("manage.py", "serve", "--only", "gateway") as program:
        program.command += ["--config", str(program.data / "config.yml")]
        yield program.with_database()


def test_its_models_are_there_and_an_unchanged_file_is_not_imported_again(serve: Program) -> None:
    (serve.data / "config.yml").write_text(CONFIG)
    serve.start().ready()
    with closing(sqlite3.connect(serve.data / "var" / "switchyard.sqlite3")) as database:
        assert database.execute("SELECT name, source FROM providers_model").fetchall() == [("llm", "file")]
    serve.signal(signal.SIGTERM)
    assert serve.exit_code(15) == 0
    assert "unchanged" not in serve.err
    serve.start().ready()
    assert "unchanged since its last import" in serve.err


def test_the_environment_may_name_the_file(serve: Program) -> None:
    (serve.data / "config.yml").write_text(CONFIG)
    serve.env["SWITCHYARD_CONFIG"] = serve.command.pop()
    serve.command.remove("--config")
    serve.start().ready()
    assert "config.yml: imported" in serve.err


@pytest.mark.parametrize("text", [None, "model_list: [", "model_list: 3"])
def test_a_broken_file_is_one_line_that_names_it(serve: Program, text: str | None) -> None:
    if text is not None:
        (serve.data / "config.yml").write_text(text)
    assert serve.start().exit_code() == 1
    said = [line for line in serve.err.splitlines() if "INFO" not in line]
    assert len(said) == 1, serve.err
    assert "config.yml" in said[0]


def test_a_broken_file_is_seen_also_while_the_database_is_away(serve: Program) -> None:
    serve.env["DATABASE_URL"] = "postgres://alice@127.0.0.1:9/none"
    (serve.data / "config.yml").write_text("model_list: [")
    assert serve.start().exit_code() == 1
    assert serve.err.count("\n") == 1
    assert "config.yml" in serve.err
