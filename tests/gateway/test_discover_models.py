"""`discover_models`: what a provider lists, compared with what is served, and the chosen ones added."""

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from providers.models import ConfigVersion, Deployment, Model, Provider
from tests.upstream import Behaviour, Upstream, refused_port

pytestmark = pytest.mark.django_db
SECRET = "sk-of-the-basement-31415"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as provider:
        yield provider


@pytest.fixture
def basement(upstream: Upstream) -> Provider:
    """A provider on loopback whose host an operator confirmed."""
    upstream.reset()
    row = Provider(name="Basement", kind="hosted_vllm", base_url=upstream.url)
    row.confirmed_host = f"127.0.0.1:{upstream.port}"
    row.set_secret(SECRET)
    row.save()
    return row


def listed(*entries: Any, **more: Any) -> Behaviour:
    given = [{"id": each} if isinstance(each, str) else each for each in entries]
    return Behaviour(body=json.dumps({"object": "list", "data": given, **more}))


def run(*words: str) -> str:
    out = StringIO()
    call_command("discover_models", "Basement", *words, stdout=out)
    return out.getvalue()


def told(*words: str) -> dict[str, dict[str, Any]]:
    """The models of the JSON output by their ids."""
    return {each["id"]: each for each in json.loads(run(*words, "--format", "json"))["models"]}


def refusal(*words: str) -> str:
    with pytest.raises(CommandError) as error:
        run(*words)
    assert "\n" not in str(error.value)
    assert SECRET not in str(error.value)
    return str(error.value)


def test_listing_alone_changes_nothing(basement: Provider, upstream: Upstream) -> None:
    upstream.behave(listed({"id": "qwen", "max_model_len": 32768}, "bge-m3"))
    version = ConfigVersion.current()
    assert (
        run()
        == "qwen    chat       32768 tokens  new\nbge-m3  embedding  -             new\n2 models, 2 new\n"
    )
    assert (Model.objects.count(), ConfigVersion.current()) == (0, version)
    [seen] = upstream.log()
    assert (seen.method, seen.target) == ("GET", "/v1/models")
    assert seen.header("authorization") == f"Bearer {SECRET}"


def test_chosen_models_are_added_with_a_deployment_and_history(
    basement: Provider, upstream: Upstream
) -> None:
    upstream.behave(
        listed({"id": "qwen", "max_model_len": 32768}, {"id": "flux", "type": "image"}, "left-alone")
    )
    version = ConfigVersion.current()
    found = told("--add", "qwen, flux", "--prefix", "home/")
    assert [each["outcome"] for each in found.values()] == ["added", "added", None]
    model = Model.objects.get(name="home/qwen")
    assert (model.kind, model.max_input_tokens, model.source) == ("chat", 32768, "command")
    assert Model.objects.get(name="home/flux").kind == "image_generation"
    [row] = model.deployments.all()
    assert (row.provider, row.upstream_model, row.name) == (basement, "qwen", "home/qwen/Basement")
    assert row.source == "command"
    for each in (model, row):
        assert each.history.first().history_change_reason == "discovered at Basement"
    assert ConfigVersion.current() == version + 1
    assert Model.objects.count() == 2


def test_all_adds_what_is_new_and_a_second_time_nothing(basement: Provider, upstream: Upstream) -> None:
    upstream.behave(listed("a", "b", "a"))
    assert "2 models, 2 new, 2 added" in run("--all")
    again = run("--all")
    assert "a  chat  -  served as a" in again
    assert again.endswith("2 models, 0 new\n")
    assert Deployment.objects.count() == 2


def test_a_name_that_is_taken_gets_a_deployment_more_only_when_asked_for(
    basement: Provider, upstream: Upstream
) -> None:
    Model.objects.create(name="qwen")
    Model.objects.create(name="other", aliases=["llama"])
    Model.objects.create(name="bge-m3")
    upstream.behave(listed("qwen", "llama", "bge-m3"))
    assert "qwen    chat       -  new, but its name is taken (--join, --prefix)" in run()
    assert told("--add", "qwen")["qwen"]["why"] == "another model has this name"
    assert not Deployment.objects.exists()
    found = told("--all", "--join")
    assert found["qwen"]["outcome"] == "joined"
    assert found["llama"]["why"] == "another model has this name as an alias"
    assert found["bge-m3"]["why"] == "the model of this name is for chat"
    assert [row.model.name for row in Deployment.objects.all()] == ["qwen"]
    assert told("--add", "qwen", "--join")["qwen"]["why"] == "served already"
    assert "added as x/llama" in run("--add", "llama", "--prefix", "x/")


@pytest.mark.parametrize("prefix", ["*", " ", "x" * 200])
def test_names_that_no_model_may_have_are_told(basement: Provider, upstream: Upstream, prefix: str) -> None:
    upstream.behave(listed("qwen"))
    [found] = told("--all", "--prefix", prefix).values()
    assert found["outcome"] == "left out"
    assert found["why"]
    assert not Model.objects.exists()


def test_anthropics_pages_are_read_to_the_end(basement: Provider, upstream: Upstream) -> None:
    Provider.objects.filter(pk=basement.pk).update(kind="anthropic")
    upstream.behave(
        listed({"type": "model", "id": "claude-a"}, has_more=True, last_id="claude-a/1"),
        listed({"type": "model", "id": "claude-b", "max_input_tokens": 200000}, has_more=False),
    )
    assert list(told()) == ["claude-a", "claude-b"]
    first, second = upstream.log()
    assert first.target == "/v1/models?limit=1000"
    assert second.target == "/v1/models?limit=1000&after_id=claude-a%2F1"
    assert first.header("x-api-key") == SECRET
    assert first.header("anthropic-version")
    assert first.header("authorization") is None


def test_a_list_that_never_ends_or_is_too_long_is_refused(basement: Provider, upstream: Upstream) -> None:
    upstream.behave(listed("a", has_more=True, last_id="a"))
    assert refusal() == "Basement: its list repeats itself"
    upstream.behave(listed(*(f"m-{number}" for number in range(10_001))))
    assert refusal("--all") == "Basement: it lists more than 10,000 models"
    assert not Model.objects.exists()


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (Behaviour(body="<html>nothing here</html>"), "what came is no JSON"),
        (Behaviour(body='{"object": "list"}'), "what came has no list of models"),
        (
            Behaviour(status=401, body=json.dumps({"error": {"message": f"bad key\n{SECRET}\x1b[2J"}})),
            "it answered 401: bad key [hidden] [2J",
        ),
        (Behaviour(status=404, body="not found"), "it answered 404"),
        (Behaviour(status=301, body="", headers=[("location", "/elsewhere")]), "it answered 301"),
        (Behaviour(body="[]", fault="close", fault_after=1), "the provider closed the connection"),
    ],
)
def test_what_goes_wrong_is_one_clear_line(
    basement: Provider, upstream: Upstream, behaviour: Behaviour, said: str
) -> None:
    upstream.behave(behaviour)
    assert refusal().startswith(f"Basement: {said}")


def test_a_provider_that_is_away_or_hangs_is_told(
    basement: Provider, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.discovery._SECONDS", 0.3)
    upstream.behave(Behaviour(body="[]", head_delay=5))
    assert refusal() == "Basement: it did not send its list within 0.3 s"
    with refused_port() as port:
        Provider.objects.filter(pk=basement.pk).update(
            base_url=f"http://127.0.0.1:{port}/v1", confirmed_host=f"127.0.0.1:{port}"
        )
        assert "cannot connect to 127.0.0.1" in refusal()


def test_a_private_address_that_nobody_confirmed_is_not_asked(basement: Provider, upstream: Upstream) -> None:
    Provider.objects.filter(pk=basement.pk).update(confirmed_host="")
    assert "private or loopback address" in refusal()
    assert upstream.log() == []


def test_entries_without_a_usable_name_are_counted(basement: Provider, upstream: Upstream) -> None:
    upstream.behave(listed("a", {"id": "b\x1b[31m"}, {"name": "c"}))
    assert run().endswith("1 models, 1 new, 2 entries without a usable name\n")


def test_nothing_listed_is_no_error(basement: Provider, upstream: Upstream) -> None:
    upstream.behave(listed())
    assert run("--all") == "0 models, 0 new\n"


def test_wrong_words_are_told_and_nothing_is_added(basement: Provider, upstream: Upstream) -> None:
    upstream.behave(listed("qwen", "llama"))
    assert refusal("--add", "qwen,lama") == "Basement lists no model 'lama'; did you mean llama?"
    assert not Model.objects.exists()
    assert "text or json" in refusal("--format", "xml")
    with pytest.raises(CommandError, match="there is no provider 'Basment'"):
        call_command("discover_models", "Basment")
