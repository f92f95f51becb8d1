"""Fallbacks on the page of their model: whom to ask instead, in which order, and never in a circle."""

import pytest
from django.test import Client

from providers.changes import ConfigVersion
from providers.fallbacks import On
from providers.models import Fallback, Model
from providers.snapshot import load
from tests.gateway.test_admin_models import LIST, form

pytestmark = pytest.mark.django_db

type Rows = list[tuple[str, ...]]


@pytest.fixture
def models() -> dict[str, Model]:
    return {name: Model.objects.create(name=name) for name in ("llm", "small", "large", "huge")}


def save(client: Client, model: Model | None, rows: Rows, **fields: str) -> str:
    """Save the page of a model with these fallbacks: (to, after, position), "delete" as a fourth deletes.

    Those that are there already are the first rows of the page, in their order.
    """
    known = [] if model is None else list(model.fallbacks.order_by("position", "pk"))
    sent = {"fallbacks-TOTAL_FORMS": str(len(rows)), "fallbacks-INITIAL_FORMS": str(len(known))}
    for number, (to, after, position, *delete) in enumerate(rows):
        chosen = Model.objects.filter(name=to).values_list("pk", flat=True).first() or to
        row = {"to": str(chosen), "on": after, "position": position}
        if number < len(known):
            row |= {"id": str(known[number].pk)}
        if model is not None:
            row |= {"model": str(model.pk)}
        if delete:
            row |= {"DELETE": "on"}
        sent |= {f"fallbacks-{number}-{name}": value for name, value in row.items()}
    url = f"{LIST}add/" if model is None else f"{LIST}{model.pk}/change/"
    name = "new" if model is None else model.name
    return client.post(url, form(name=name) | sent | fields, follow=True).text


def stored() -> Rows:
    rows = Fallback.objects.order_by("model__name", "on", "position", "pk")
    return [(row.model.name, row.to.name, row.on, str(row.position)) for row in rows]


def test_fallbacks_are_saved_in_their_order_and_served(
    admin_client: Client, models: dict[str, Model]
) -> None:
    save(
        admin_client,
        models["llm"],
        [("small", "any", "1"), ("huge", "any", "0"), ("large", "context_window", "")],
    )
    served = load().models["llm"].instead
    assert served == {On.ANY: ("huge", "small"), On.CONTEXT_WINDOW: ("large",)}


def test_rows_without_a_position_come_last_in_the_order_of_the_page(
    admin_client: Client, models: dict[str, Model]
) -> None:
    save(admin_client, models["llm"], [("small", "any", "5"), ("huge", "any", ""), ("large", "any", "")])
    assert load().models["llm"].instead == {On.ANY: ("small", "huge", "large")}


def test_a_new_model_has_fallbacks_at_once(admin_client: Client, models: dict[str, Model]) -> None:
    save(admin_client, None, [("small", "any", "")])
    assert stored() == [("new", "small", "any", "1")]


def test_a_change_of_fallbacks_alone_is_a_new_version_for_the_workers(
    admin_client: Client, models: dict[str, Model]
) -> None:
    row = Fallback.objects.create(model=models["llm"], to=models["small"])
    for change in (lambda: row.save(), lambda: row.delete()):
        before = ConfigVersion.current()
        change()
        assert ConfigVersion.current() == before + 1


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([("llm", "any", "")], "This would lead back to itself: llm to llm."),
        ([("large", "any", "")], "This would lead back to itself: llm to large to small to llm."),
        (
            [("huge", "any", ""), ("large", "context_window", "")],
            "This would lead back to itself: llm to large to small to llm.",
        ),
        ([("huge", "any", ""), ("huge", "any", "3")], "Another row asks it after this error already."),
        ([("openai/*", "any", "")], "A wildcard model is no single model to ask instead."),
        ([("9" * 40, "any", "")], "That choice is not one of the available choices."),
        ([("x", "any", "")], "That choice is not one of the available choices."),
        ([("huge", "never", "")], "never is not one of the available choices."),
        ([("huge", "any", "-1")], "greater than or equal to 0"),
        ([("huge", "any", "40000")], "less than or equal to 32767"),
        ([("", "any", "7")], "This field is required."),
    ],
)
def test_what_cannot_be_asked_instead_is_told_beside_its_row(
    admin_client: Client, models: dict[str, Model], rows: Rows, why: str
) -> None:
    Model.objects.create(name="openai/*")
    Fallback.objects.create(model=models["large"], to=models["small"])
    Fallback.objects.create(model=models["small"], to=models["llm"])
    assert why in save(admin_client, models["llm"], rows)
    assert not models["llm"].fallbacks.exists()


def test_two_rows_of_one_page_may_both_lead_back_and_both_are_told(
    admin_client: Client, models: dict[str, Model]
) -> None:
    for name in ("small", "large"):
        Fallback.objects.create(model=models[name], to=models["llm"])
    text = save(admin_client, models["llm"], [("small", "any", ""), ("large", "any", "")])
    assert "llm to small to llm." in text
    assert "llm to large to llm." in text


def test_a_row_that_goes_does_not_stand_in_the_way(admin_client: Client, models: dict[str, Model]) -> None:
    for name in ("small", "large"):
        Fallback.objects.create(model=models["llm"], to=models[name])
    # as it could be after a race of two operators
    Fallback.objects.create(model=models["small"], to=models["llm"])
    save(
        admin_client,
        models["llm"],
        [("small", "any", "0", "delete"), ("large", "any", "0"), ("small", "any", "")],
    )
    assert len(models["llm"].fallbacks.all()) == 2, "small would lead back still"
    save(admin_client, models["llm"], [("small", "any", "0", "delete"), ("large", "any", "0")])
    assert [row.to.name for row in models["llm"].fallbacks.all()] == ["large"]


def test_two_rows_may_change_places(admin_client: Client, models: dict[str, Model]) -> None:
    for position, name in enumerate(("small", "large")):
        Fallback.objects.create(model=models["llm"], to=models[name], position=position)
    save(admin_client, models["llm"], [("small", "any", "1"), ("large", "any", "0")])
    assert load().models["llm"].instead == {On.ANY: ("large", "small")}


def test_two_rows_may_swap_whom_they_ask(admin_client: Client, models: dict[str, Model]) -> None:
    for position, name in enumerate(("small", "large")):
        Fallback.objects.create(model=models["llm"], to=models[name], position=position)
    text = save(admin_client, models["llm"], [("large", "any", "0"), ("small", "any", "1")])
    assert "Server Error" not in text
    assert load().models["llm"].instead[On.ANY] in (("large", "small"), ("small", "large"))


def test_a_row_may_take_the_place_of_one_that_goes(admin_client: Client, models: dict[str, Model]) -> None:
    for position, name in enumerate(("small", "large")):
        Fallback.objects.create(model=models["llm"], to=models[name], position=position)
    save(admin_client, models["llm"], [("large", "any", "0"), ("large", "any", "1", "delete")])
    assert stored() == [("llm", "large", "any", "0")]


def test_the_list_of_models_names_whom_each_asks_instead(
    admin_client: Client, models: dict[str, Model]
) -> None:
    for on in ("any", "context_window"):
        Fallback.objects.create(model=models["llm"], to=models["small"], on=on)
    assert "else small<" in admin_client.get(LIST).text


def test_one_that_is_asked_instead_does_not_become_a_wildcard(
    admin_client: Client, models: dict[str, Model]
) -> None:
    Fallback.objects.create(model=models["llm"], to=models["small"])
    text = admin_client.post(f"{LIST}{models['small'].pk}/change/", form(name="small/*")).text
    assert "It is asked instead of &#x27;llm&#x27;" in text


def test_a_fallback_is_found_with_its_history(admin_client: Client, models: dict[str, Model]) -> None:
    save(admin_client, models["llm"], [("small", "any", "")])
    row = Fallback.objects.get()
    assert "llm" in admin_client.get("/admin/providers/fallback/?q=small").text
    text = admin_client.get(f"/admin/providers/fallback/{row.pk}/history/").text
    assert "Created" in text
    assert "admin" in text
    assert (
        f"/admin/providers/fallback/{row.pk}/history/"
        in admin_client.get(f"{LIST}{models['llm'].pk}/change/").text
    )


def test_on_its_own_page_a_loop_is_refused_too(admin_client: Client, models: dict[str, Model]) -> None:
    Fallback.objects.create(model=models["small"], to=models["llm"])
    sent = {"model": str(models["llm"].pk), "to": str(models["small"].pk), "on": "any", "position": "0"}
    text = admin_client.post("/admin/providers/fallback/add/", sent).text
    assert "This would lead back to itself: llm to small to llm." in text
