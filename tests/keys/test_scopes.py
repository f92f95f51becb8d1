"""Which usage rows a limit counts, and whose limit it is."""

import pytest

from keys.limits import Scope
from keys.models import ApiKey, EndUser, Limit, Team
from keys.scopes import holder_of, scope_of
from providers.models import Deployment, Model

ALICE = ApiKey(name="alice", public_id="abc")
SALES, BOB = Team(name="sales"), EndUser(name="bob")
LLM, A = Model(name="llm"), Deployment(name="llm/a")


@pytest.mark.parametrize(
    ("limit", "scope", "holder"),
    [
        (Limit(), Scope(), "everyone"),
        (Limit(model=LLM), Scope(model="llm"), "everyone"),
        (Limit(key=ALICE), Scope(key_id="abc"), "key 'alice'"),
        (Limit(team=SALES, model=LLM), Scope(team="sales", model="llm"), "team 'sales'"),
        (Limit(end_user=BOB), Scope(end_user="bob"), "end user 'bob'"),
        (Limit(deployment=A), Scope(deployment="llm/a"), "deployment 'llm/a'"),
        (Limit(each_end_user=True), Scope(), "each end user"),
        (Limit(key=ALICE, each_end_user=True), Scope(key_id="abc"), "each end user of key 'alice'"),
    ],
)
def test_a_limit_counts_what_its_holder_used(limit: Limit, scope: Scope, holder: str) -> None:
    assert (scope_of(limit), holder_of(limit)) == (scope, holder)


def test_a_limit_for_each_end_user_counts_one_of_them() -> None:
    assert scope_of(Limit(key=ALICE, each_end_user=True), "bob") == Scope(key_id="abc", end_user="bob")
