"""`import_prices`: a file as LiteLLM publishes it becomes prices, wholly or not at all."""

from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from providers.changes import ConfigVersion
from providers.models import Price

pytestmark = pytest.mark.django_db

FILE = """{
  "sample_spec": {"litellm_provider": "one of ...", "input_cost_per_token": 0},
  "gpt-4o": {"litellm_provider": "openai", "mode": "chat", "max_tokens": 16384,
    "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05, "cache_read_input_token_cost": 1.25e-06,
    "input_cost_per_token_batches": 1.25e-06, "supports_vision": true},
  "groq/llama-3": {"litellm_provider": "groq",
    "input_cost_per_token": 1.5e-07, "output_cost_per_token": 0.0000006},
  "gemini-2": {"litellm_provider": "vertex_ai", "input_cost_per_token": 1e-6}
}"""


def run(folder: Path, text: str, *flags: str) -> str:
    path = folder / "prices.json"
    path.write_text(text)
    out = StringIO()
    call_command("import_prices", path, *flags, stdout=out)
    return out.getvalue()


def rows() -> list[tuple[str, str, Decimal, str]]:
    found = Price.objects.order_by("pk").values_list("kind", "upstream_model", "input", "source")
    return [(kind, model, price.normalize(), source) for kind, model, price, source in found]


def test_each_model_that_can_be_served_gets_its_price(tmp_path: Path) -> None:
    text = run(tmp_path, FILE)
    assert rows() == [
        ("groq", "llama-3", Decimal("0.15"), "command"),
        ("openai", "gpt-4o", Decimal("2.5"), "command"),
    ]
    assert Price.objects.get(kind="openai").cached_input == Decimal("1.25")
    assert "2 matched: 2 new, 0 changed, 0 same, 0 kept" in text
    assert "skipped: 1 of a provider that is not served" in text
    assert "not read: input_cost_per_token_batches (1)" in text


def test_the_same_file_twice_changes_nothing(tmp_path: Path) -> None:
    run(tmp_path, FILE)
    version = ConfigVersion.current()
    assert "2 matched: 0 new, 0 changed, 2 same, 0 kept" in run(tmp_path, FILE)
    assert (ConfigVersion.current(), Price.objects.count()) == (version, 2)


def test_a_changed_price_is_a_row_from_now_on_and_the_old_one_stays(tmp_path: Path) -> None:
    run(tmp_path, FILE)
    text = run(tmp_path, FILE.replace("1.5e-07", "2e-7"))
    assert "groq/llama-3: changed, $0.2 / $0.6 was $0.15 / $0.6" in text
    old, new = Price.objects.filter(kind="groq").order_by("effective_from")
    assert (old.input, new.input) == (Decimal("0.15"), Decimal("0.2"))


def test_what_was_set_in_the_admin_is_kept_and_told(tmp_path: Path) -> None:
    Price.objects.create(kind="groq", upstream_model="llama-3", input=Decimal(7))
    text = run(tmp_path, FILE)
    assert "groq/llama-3: kept, $0.15 / $0.6 not taken: set by hand to $7 / $0" in text
    assert Price.objects.filter(kind="groq").count() == 1


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    assert "2 new" in run(tmp_path, FILE, "--dry-run")
    assert not Price.objects.exists()


def test_prices_may_hold_from_an_earlier_time(tmp_path: Path) -> None:
    flags = ("--effective-from", "2026-01-01T00:00:00Z")
    run(tmp_path, FILE, *flags)
    run(tmp_path, FILE.replace("1.5e-07", "2e-7"), *flags)
    row = Price.objects.get(kind="groq")
    assert (row.effective_from.isoformat(), row.input) == ("2026-01-01T00:00:00+00:00", Decimal("0.2"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: not JSON"),
        ('{"a": {"input_cost_per_token": -1}}', "a: input_cost_per_token: -1 is no price"),
        (FILE.replace("2.5e-06", '"cheap"'), "gpt-4o: input_cost_per_token: 'cheap' is no number"),
        ("[]", "a JSON object of models"),
    ],
)
def test_a_bad_file_is_one_line_and_changes_nothing(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CommandError) as refused:
        run(tmp_path, text)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not Price.objects.exists()


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        call_command("import_prices", tmp_path / "gone.json")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CommandError, match="not UTF-8"):
        call_command("import_prices", tmp_path / "binary")
