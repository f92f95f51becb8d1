"""An operator's first hour in the console, in Chromium against a real server."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.gateway_process import Gateway

pytestmark = pytest.mark.browser

PASSWORD = "correct horse battery"
UPSTREAM_KEY = "sk-of-the-basement"
INLINE_SCRIPT = "document.body.append(Object.assign(document.createElement('script'), {text: 'leaked = 1'}))"
LISTS = (
    "providers/provider",
    "providers/model",
    "providers/deployment",
    "providers/fallback",
    "keys/apikey",
    "keys/team",
    "keys/enduser",
    "keys/limit",
    "usage/attempt",
    "usage/hourlyusage",
    "usage/dailyusage",
    "usage/limitalert",
    "auth/user",
    "auth/group",
)


@dataclass
class Console:
    """A page of the console, and everything the browser complained about."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"{self.page.url}: {error}"))
        self.page.on("request", lambda request: self._asked(request.url))
        self.page.on("response", lambda answer: self._answered(answer.status, answer.url))

    def _said(self, message: object) -> None:
        if message.type in ("error", "warning"):  # type: ignore[attr-defined]
            self.complaints.append(f"{self.page.url}: {message.text}")  # type: ignore[attr-defined]

    def _asked(self, url: str) -> None:
        if urlsplit(url).scheme != "data" and not url.startswith(self.base):
            self.complaints.append(f"asked another host: {url}")

    def _answered(self, status: int, url: str) -> None:
        if status >= 400:
            self.complaints.append(f"{status} {url}")

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.base}/admin/{path}", wait_until="load")
        return self.page

    def save(self) -> str:
        """Press Save; the text of the page that follows."""
        self.page.click('button[name="_save"]')
        self.page.wait_for_load_state("load")
        return self.page.inner_text("#main")

    def log_in(self) -> None:
        self.open("")
        self.page.fill("#id_username", "olivia")
        self.page.fill("#id_password", PASSWORD)
        self.page.press("#id_password", "Enter")
        self.page.wait_for_selector(".sy-home")


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway(env={"DJANGO_SUPERUSER_PASSWORD": PASSWORD}) as running:
        running.manage(
            "createsuperuser", "--noinput", "--username", "olivia", "--email", "olivia@example.com"
        )
        yield running


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


@contextmanager
def at_work(browser: Browser, gateway: Gateway, theme: str = "light") -> Iterator[Console]:
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, color_scheme="dark" if theme == "dark" else "light"
    )
    console = Console(context.new_page(), f"http://127.0.0.1:{gateway.port}")
    console.watch()
    try:
        console.log_in()
        yield console
    finally:
        context.close()
    assert console.complaints == []


def choose(page: Page, select: str, text: str) -> None:
    """Pick from a select that searches as one types."""
    page.click(f"{select} + .select2 .select2-selection")
    page.fill(".select2-search__field", text)
    page.click(f'.select2-results__option:has-text("{text}")')


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_breaks_the_policy_or_asks_another_host(
    browser: Browser, gateway: Gateway, theme: str
) -> None:
    with at_work(browser, gateway, theme) as console:
        for path in ("", "connect/", "limits/try/", "password_change/", *LISTS):
            console.open(path if not path or path.endswith("/") else f"{path}/")
        for path in LISTS:
            if not path.startswith("usage/"):
                console.open(f"{path}/add/")
        assert ("dark" in (console.page.get_attribute("html", "class") or "")) == (theme == "dark")


def add_provider(console: Console) -> None:
    page = console.open("providers/provider/add/")
    page.fill("#id_name", "Basement")
    page.select_option("#id_kind", "hosted_vllm")
    page.fill("#id_base_url", "http://127.0.0.1:9/v1")
    page.fill("#id_api_key", UPSTREAM_KEY)
    assert "private or loopback address" in console.save()
    assert page.input_value("#id_api_key") == ""
    page.fill("#id_api_key", UPSTREAM_KEY)
    page.check("#id_confirm_private")
    assert "was added successfully" in console.save()


def add_model(console: Console) -> None:
    page = console.open("providers/model/add/")
    page.fill("#id_name", "llm")
    page.fill("#id_deployments-0-name", "llm-basement")
    choose(page, "#id_deployments-0-provider", "Basement")
    page.fill("#id_deployments-0-upstream_model", "qwen")
    assert "was added successfully" in console.save()


def create_key(console: Console) -> str:
    page = console.open("keys/apikey/add/")
    page.fill("#id_name", "alice")
    assert page.is_hidden("#id_allowed_models + .select2")
    page.uncheck("#id_all_models")
    choose(page, "#id_allowed_models", "llm")
    console.save()
    text = page.inner_text("#new-key")
    assert text in page.inner_text("#new-key-curl")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click('[data-copy="new-key"]')
    page.wait_for_selector('[data-copy="new-key"] :text("Copied")')
    assert page.evaluate("navigator.clipboard.readText()") == text
    page.click("text=Done, show its page")
    page.wait_for_selector("#apikey_form")
    assert text not in page.content()
    return str(text)


def drain(console: Console) -> None:
    page = console.open("providers/deployment/")
    assert "100 %" in page.inner_text("#result_list")
    page.check("#result_list tbody input.action-select")
    page.select_option('select[name="action"]', "drain")
    page.click("#changelist-actions-wrapper button")
    page.wait_for_selector("text=Draining 1 deployment.")


def test_an_operators_first_hour(browser: Browser, gateway: Gateway) -> None:
    with at_work(browser, gateway) as console:
        assert console.page.inner_text(".sy-next a") == "Add a provider"
        add_provider(console)
        add_model(console)
        text = create_key(console)
        assert re.fullmatch(r"sk-sy-\w{12}-\w{46}", text)
        assert console.open("").inner_text(".sy-next a") == "Send the first request"
        drain(console)
        assert "llm-basement is draining" in console.open("").inner_text(".sy-notices")
        log = gateway.log.read_text()
        assert UPSTREAM_KEY not in log
        assert text not in log


def test_a_limit_shows_how_full_it_is_is_tried_and_reset(browser: Browser, gateway: Gateway) -> None:
    gateway.create_key("bob", "--limit", "cost=2.50/month")
    with at_work(browser, gateway) as console:
        page = console.open("keys/limit/")
        page.wait_for_selector('tr:has-text("bob") .sy-fill:has-text("0 %")')
        page.click('tr:has-text("bob") th a')
        page.wait_for_selector('.sy-fill:has-text("$0.00 of $2.5, 0 %")')
        assert page.input_value("#id_amount") == "2.5"
        page.click("text=Try on last week")
        page.fill("#id_amount", "1.25")
        page.click('button:has-text("Try it on last week")')
        page.wait_for_selector("h2:has-text(\"$1.25 per month for key 'bob'\")")
        page.go_back()
        page.click("text=Back to the limit")
        page.click("text=Reset the counter")
        page.click('button:has-text("Reset")')
        page.wait_for_selector("text=Reset 1 limit: what was used until now does not count.")


def test_limits_are_written_on_the_page_of_their_key(browser: Browser, gateway: Gateway) -> None:
    gateway.create_key("carol", "--limit", "requests=5/day")
    with at_work(browser, gateway) as console:
        page = console.open("keys/apikey/")
        page.click('th a:has-text("carol")')
        page.wait_for_selector('#limits-group .sy-fill:has-text("0 %")')
        page.click("text=Add another Limit")
        page.select_option("#id_limits-1-metric", "cost")
        page.fill("#id_limits-1-amount", "0.000000001")
        page.select_option("#id_limits-1-window", "total")
        assert "was changed successfully" in console.save()
        page.click('th a:has-text("carol")')
        page.wait_for_selector("#limits-group .sy-fill >> nth=1")
        assert page.input_value("#id_limits-1-amount") == "0.000000001"


def move_up(page: Page, number: int) -> None:
    """Drag the fallback of this row above the first one."""
    rows = page.query_selector_all("#fallbacks-data tbody.original [x-sort\\:handle]")
    rows[number].scroll_into_view_if_needed()
    old, first = rows[number].bounding_box(), rows[0].bounding_box()
    assert old, "it is on the page"
    assert first, "it is on the page"
    page.mouse.move(old["x"] + 5, old["y"] + 5)
    page.mouse.down()
    page.mouse.move(first["x"] + 5, first["y"] - 5, steps=10)
    page.mouse.up()
    page.wait_for_function(f"document.querySelector('#id_fallbacks-{number}-position').value === '0'")


def test_fallbacks_are_chosen_sorted_and_refused_on_the_page_of_their_model(
    browser: Browser, gateway: Gateway
) -> None:
    with at_work(browser, gateway) as console:
        for name in ("first", "second", "third"):
            page = console.open("providers/model/add/")
            page.fill("#id_name", name)
            console.save()
        page = console.open("providers/model/")
        page.click('th a:has-text("first")')
        for number, name in enumerate(("second", "third")):
            page.click("text=Add another Fallback")
            choose(page, f"#id_fallbacks-{number}-to", name)
        assert "was changed successfully" in console.save()
        page.click('th a:has-text("first")')
        move_up(page, 1)
        console.save()
        page.wait_for_selector('.sy-note:has-text("else third, second")')
        page.click('th a:has(.sy-cell:text-is("second"))')
        page.click("text=Add another Fallback")
        choose(page, "#id_fallbacks-0-to", "first")
        assert "This would lead back to itself: second to first to second." in console.save()


def test_what_the_policy_forbids_would_be_noticed(browser: Browser, gateway: Gateway) -> None:
    with at_work(browser, gateway) as console:
        console.page.evaluate(INLINE_SCRIPT)
        assert any("Content Security Policy" in complaint for complaint in console.complaints)
        assert console.page.evaluate("typeof leaked") == "undefined"
        console.complaints.clear()
