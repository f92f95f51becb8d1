"""Configuration that changes under load: a request goes by one version, and a wrong one changes nothing."""

from collections.abc import Iterator

import pytest

from tests.path.house import House, house, until
from tests.torture.config_changes import changes

BUSY = 40.0  # seconds, of a machine that does much else
pytestmark = [pytest.mark.postgres, pytest.mark.redis]


@pytest.fixture(scope="module")
def home(redis_url: str) -> Iterator[House]:
    with house(["llm"], {"REDIS_URL": redis_url, "WEB_CONCURRENCY": "2"}) as running:
        yield running


def test_no_request_mixes_versions(home: House) -> None:
    told = changes(home, count=60, pause=0.05, rate=30)
    assert told.mixed == []
    assert told.refused == {}
    assert told.answered == told.requests > 60
    assert told.versions_seen > 3


def test_a_wrong_configuration_changes_nothing(home: House) -> None:
    bob = home.client("bob")
    until(home.copied, "copies of all that there is", BUSY)
    before = home.head("configuration")
    assert before is not None
    broken = home.gateway.data / "broken.yml"
    broken.write_text(
        "model_list:\n"
        "- {model_name: new, litellm_params: {model: openai/new, api_base: 'http://127.0.0.1:9'}}\n"
        "- {model_name: llm, litellm_params: [not, a, mapping]}\n"
    )
    code, _, err = home.gateway.clerk.attempt("import_config", str(broken))
    assert code == 1, err
    home.shell("from providers.models import Model; Model.objects.update(strategy='nonsense', hidden=True)")
    until(lambda: "configuration_refused" in home.gateway.log.read_text(), "a line that says so", BUSY)
    answer = bob.chat("llm")
    assert answer.status == 200
    assert [model["id"] for model in bob.get("/v1/models").json["data"]] == ["llm"]
    [row] = home.gateway.usage(rows=1, request_id=answer.request_id)
    assert row["model"] == "llm"
    home.shell("from providers.models import Model; Model.objects.update(strategy='weighted', hidden=True)")
    until(lambda: bob.get("/v1/models").json["data"] == [], "the next good version", BUSY)
    assert bob.chat("llm").status == 200
