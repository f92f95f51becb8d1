"""An operator looks what a provider has and adds some of it, in Chromium against a real server."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.gateway_process import Gateway
from tests.path.test_admin_browser import at_work, browser, gateway
from tests.upstream import Behaviour, Upstream

__all__ = ["browser", "gateway"]
pytestmark = pytest.mark.browser


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Its own: what is said here of all models must not reach other tests."""
    with Upstream("attic") as running:
        yield running


def test_models_are_found_filtered_chosen_and_added(
    browser: Browser, gateway: Gateway, upstream: Upstream
) -> None:
    upstream.behave(
        Behaviour(
            body=json.dumps({"data": [{"id": f"vendor/chat-{n}"} for n in range(1200)] + [{"id": "bge-m3"}]})
        )
    )
    gateway.manage(
        *("shell", "-v", "0", "-c"),
        "from providers.models import Provider; Provider.objects.create(name='Attic', kind='vllm', "
        f"base_url='{upstream.url}', confirmed_host='127.0.0.1:{upstream.port}')",
    )
    with at_work(browser, gateway) as console:
        page = console.open("providers/provider/")
        page.click('th a:has-text("Attic")')
        page.click("text=Discover models")
        page.wait_for_selector("h2:has-text('Attic: 1,201 models, 1,201 new')")
        page.fill("[data-discover-filter]", "BGE")
        page.press("[data-discover-filter]", "Enter")
        assert page.locator("tr[data-name]:visible").count() == 1
        page.click("text=Choose all new")
        page.wait_for_selector('button:has-text("Add 1 model")')
        page.fill("[data-discover-filter]", "nothing like it")
        page.wait_for_selector("text=No name here has that in it.")
        page.fill("[data-discover-filter]", "")
        page.fill('input[name="prefix"]', "attic/")
        page.click("text=Choose all new")  # more than the server takes as fields of their own
        page.click('button:has-text("Add 1201 models")')
        page.wait_for_selector("text=Added 1201 models from Attic.", timeout=60_000)
        page.go_back()
        page.wait_for_selector("form[data-discover]")
        assert not page.is_disabled("[data-discover-add]")
    kind = "from providers.models import Model; print(Model.objects.get(name='attic/bge-m3').kind)"
    assert gateway.manage("shell", "-v", "0", "-c", kind).strip() == "embedding"
