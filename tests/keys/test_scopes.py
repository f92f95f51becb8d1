"""Which usage rows a limit's row counts, and whose limit people read that it is."""

from typing import Any

import pytest

from keys.issuing import issue
from keys.limits import Scope
from keys.models import EndUser, Limit, Team
from keys.scopes import holder_of, scope_of
from providers.models import Deployment, Model, Provider

pytestmark = pytest.mark.django_db


def limit(**values: Any) -> Limit:
    return Limit(metric="requests", amount=5, **values)


def test_a_keys_limit_counts_its_rows_by_id() -> None:
    key, _ = issue("alice")
    assert scope_of(limit(key=key)) == Scope(key_id=key.public_id)
    assert holder_of(limit(key=key)) == "key 'alice'"


def test_a_teams_limit_on_a_model_counts_both_names() -> None:
    one = limit(team=Team(name="readers"), model=Model(name="llm"))
    assert scope_of(one) == Scope(team="readers", model="llm")
    assert holder_of(one) == "team 'readers'"


def test_an_end_users_limit_counts_them_alone() -> None:
    one = limit(end_user=EndUser(name="bob"))
    assert scope_of(one, "carol") == Scope(end_user="bob")
    assert holder_of(one) == "end user 'bob'"


def test_a_deployments_limit_counts_by_its_name() -> None:
    provider = Provider.objects.create(name="local", base_url="http://localhost:1/v1")
    model = Model.objects.create(name="llm")
    deployment = Deployment.objects.create(model=model, provider=provider, name="llm-a", upstream_model="llm")
    assert scope_of(limit(deployment=deployment)) == Scope(deployment="llm-a")


def test_a_limit_of_nobody_counts_everyone() -> None:
    assert scope_of(limit()) == Scope()
    assert holder_of(limit()) == "everyone"


def test_one_for_each_end_user_counts_the_one_that_is_asked_about() -> None:
    one = limit(team=Team(name="readers"), each_end_user=True)
    assert scope_of(one, "bob") == Scope(team="readers", end_user="bob")
    assert scope_of(one, "") == Scope(team="readers", end_user="")
    assert scope_of(one) == Scope(team="readers")
    assert holder_of(one) == "each end user of team 'readers'"
    assert holder_of(limit(each_end_user=True)) == "each end user"
