import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from providers.models import Model, Provider
from tests.gateway.furnished import deployment, provider

pytestmark = pytest.mark.django_db

LIST = "/admin/providers/provider/"
SECRET = "sk-of-openai-3141592653"


def form(**fields: str) -> dict[str, str]:
    return {
        "name": "OpenAI",
        "kind": "openai",
        "base_url": "https://api.openai.com/v1",
        "extra_headers": "{}",
        "disconnect_policy": "estimate",
        "enabled": "on",
    } | fields


def change(client: Client, row: Provider, **fields: str) -> str:
    answer = client.post(f"{LIST}{row.pk}/change/", form(**fields), follow=True)
    row.refresh_from_db()
    return answer.text


def stored(client: Client) -> Provider:
    client.post(f"{LIST}add/", form(api_key=SECRET))
    return Provider.objects.get()


def test_a_key_is_stored_and_stands_on_no_page(admin_client: Client) -> None:
    row = stored(admin_client)
    assert row.secret() == SECRET
    version = row.history.first()
    for url in ("", f"{row.pk}/change/", f"{row.pk}/history/", f"{row.pk}/history/{version.pk}/"):
        assert SECRET not in admin_client.get(LIST + url).text
    assert "A key is stored" in admin_client.get(f"{LIST}{row.pk}/change/").text
    assert not LogEntry.objects.filter(change_message__contains=SECRET)


def test_a_refused_form_does_not_echo_the_key(admin_client: Client) -> None:
    answer = admin_client.post(f"{LIST}add/", form(name="", api_key=SECRET))
    assert "This field is required" in answer.text
    assert SECRET not in answer.text


def test_an_empty_key_keeps_the_stored_one(admin_client: Client) -> None:
    row = stored(admin_client)
    change(admin_client, row, notes="Alice asked for it")
    assert (row.notes, row.secret()) == ("Alice asked for it", SECRET)


def test_a_new_key_replaces_the_stored_one(admin_client: Client) -> None:
    row = stored(admin_client)
    change(admin_client, row, api_key="sk-new")
    assert row.secret() == "sk-new"


def test_the_stored_key_can_be_forgotten(admin_client: Client) -> None:
    row = stored(admin_client)
    change(admin_client, row, forget_key="on")
    assert row.secret_sealed == ""


def test_another_host_removes_the_stored_key_and_says_so(admin_client: Client) -> None:
    row = stored(admin_client)
    text = change(admin_client, row, base_url="https://evil.example/v1")
    assert row.secret_sealed == ""
    assert "The host changed, so the stored API key was removed" in text


def test_another_path_or_a_new_key_keeps_it(admin_client: Client) -> None:
    row = stored(admin_client)
    change(admin_client, row, base_url="https://api.openai.com/v2")
    assert row.secret() == SECRET
    change(admin_client, row, base_url="https://eu.openai.com/v1", api_key="sk-eu")
    assert row.secret() == "sk-eu"


def test_reverting_to_another_host_removes_the_key_too(admin_client: Client) -> None:
    row = stored(admin_client)
    first = row.history.first()
    change(admin_client, row, base_url="https://eu.openai.com/v1", api_key="sk-eu")
    admin_client.post(f"{LIST}{row.pk}/history/{first.pk}/", form())
    row.refresh_from_db()
    assert (row.base_url, row.secret_sealed) == ("https://api.openai.com/v1", "")


def test_a_private_address_needs_the_tick(admin_client: Client) -> None:
    url = "http://10.3.0.42:8000/v1"
    answer = admin_client.post(f"{LIST}add/", form(base_url=url))
    assert "private or loopback address" in answer.text
    assert "let the gateway connect to 10.3.0.42:8000" in answer.text
    admin_client.post(f"{LIST}add/", form(base_url=url, confirm_private="on"))
    assert Provider.objects.get().confirmed_host == "10.3.0.42:8000"


def test_a_confirmation_does_not_follow_to_another_port(admin_client: Client) -> None:
    row = provider(base_url="http://127.0.0.1:8000/v1", confirmed_host="127.0.0.1:8000")
    text = change(admin_client, row, base_url="http://127.0.0.1:9000/v1")
    assert "let the gateway connect to 127.0.0.1:9000" in text
    assert row.base_url == "http://127.0.0.1:8000/v1"


@pytest.mark.parametrize("host", ["169.254.169.254", "metadata.google.internal", "[fd00:ec2::254]"])
def test_a_metadata_address_is_refused_with_the_tick_too(admin_client: Client, host: str) -> None:
    answer = admin_client.post(f"{LIST}add/", form(base_url=f"http://{host}/v1", confirm_private="on"))
    assert "never an upstream" in answer.text
    assert not Provider.objects.exists()


def test_an_address_from_the_environment_is_checked_as_well(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_BASE_URL", "http://10.3.0.42/v1")
    given = form(base_url="os.environ/LOCAL_BASE_URL")
    assert "let the gateway connect to 10.3.0.42:80" in admin_client.post(f"{LIST}add/", given).text
    admin_client.post(f"{LIST}add/", given | {"confirm_private": "on"})
    assert Provider.objects.get().confirmed_host == "10.3.0.42:80"


def test_without_an_address_the_public_one_is_taken(admin_client: Client) -> None:
    admin_client.post(f"{LIST}add/", form(kind="groq", base_url=""))
    assert Provider.objects.get().base_url == "https://api.groq.com/openai/v1"
    assert "has no public address" in admin_client.post(f"{LIST}add/", form(kind="vllm", base_url="")).text


def test_disabling_reports_and_leaves_history(admin_client: Client) -> None:
    rows = [provider("a"), provider("b", enabled=False)]
    given = {"action": "disable", "_selected_action": [str(row.pk) for row in rows]}
    answer = admin_client.post(LIST, given, follow=True)
    assert "Disabled 1 provider (1 was so already)." in answer.text
    assert not Provider.objects.filter(enabled=True).exists()
    assert rows[0].history.count() == 2
    assert rows[0].history.first().history_user.username == "admin"


def test_deployments_say_their_share_and_what_they_wait_for(admin_client: Client) -> None:
    llm = Model.objects.create(name="llm")
    openai, nebius = provider(), provider("Nebius", secret_reference="NEBIUS_API_KEY")
    deployment("a", openai, llm, weight=1)
    deployment("b", openai, llm, weight=2)
    deployment("c", nebius, llm, weight=5)
    text = admin_client.get(reverse("admin:providers_deployment_changelist")).text
    assert all(words in text for words in ("33 %", "67 %", "not configured", "NEBIUS_API_KEY is not set"))


def test_draining_reports(admin_client: Client) -> None:
    row = deployment("a", provider(), Model.objects.create(name="llm"))
    given = {"action": "drain", "_selected_action": [str(row.pk)]}
    answer = admin_client.post(reverse("admin:providers_deployment_changelist"), given, follow=True)
    row.refresh_from_db()
    assert "Draining 1 deployment." in answer.text
    assert row.state == "draining"
