"""Routing among bad providers in small, at two hosts; `make torture` has the full numbers."""

from collections.abc import Iterator, Mapping

import pytest

from tests.conftest import _database
from tests.services import Postgres
from tests.torture import bad_answers as answers
from tests.torture import bad_providers as providers
from tests.torture import bad_streams as streams
from tests.torture import parallel as places
from tests.torture.hosts import Hosts
from tests.torture.routing_rig import BAD_OF_THREE, SLOTS, Models, routing_hosts

pytestmark = [pytest.mark.postgres, pytest.mark.redis]


@pytest.fixture(scope="module")
def hosts(postgres: Postgres) -> Iterator[Hosts]:
    for url in _database(postgres.url("postgres"), "switchyard_routing_faults"):
        with routing_hosts(url) as running:
            yield running


@pytest.fixture(scope="module")
def key(hosts: Hosts) -> str:
    return hosts.key("alice")


@pytest.fixture(scope="module")
def models() -> Models:
    return Models()


def some[Found](told: Mapping[str, Found]) -> dict[str, Found]:
    """The cases in which anything was found."""
    return {case: found for case, found in told.items() if found}


def test_the_requests_own_fault_is_passed_on_after_one_attempt(
    hosts: Hosts, models: Models, key: str
) -> None:
    judge_own_faults(answers.own_faults(hosts, models, key, requests=8))


def judge_own_faults(told: answers.OwnFaults) -> None:
    assert told.cases == len(answers.OWN_FAULTS)
    assert some(told.changed) == some(told.more) == {}
    assert (told.elsewhere, told.wrong_rows) == (0, 0)


def test_a_prompt_that_is_too_long_is_asked_of_a_larger_model_if_there_is_one(hosts: Hosts, key: str) -> None:
    judge_too_long(answers.too_long(hosts, key, key_of_short(hosts), each=4))


def key_of_short(hosts: Hosts) -> str:
    """Bob's, which opens only the model that has a larger one behind it."""
    return hosts.a.create_key("bob", "--models", "short")


def judge_too_long(told: answers.TooLong) -> None:
    assert (told.failures, told.wrong_words) == ({}, 0)
    assert told.with_larger == {"short": told.requests, "large": told.requests}
    assert told.without == {"short-alone": told.requests}
    assert told.without_rights == {"short": told.requests}
    assert told.most_attempts == {"with_larger": 2, "without": 1, "without_rights": 1}
    assert (told.not_passed_on, told.elsewhere) == (0, 0)


def test_where_one_of_two_is_set_up_wrongly_the_other_answers(hosts: Hosts, models: Models, key: str) -> None:
    judge_other_answers(answers.misconfigured(hosts, models, key, requests=12), least=3)


def judge_other_answers(told: answers.OtherAnswers, least: int) -> None:
    """`least`: how often the bad one was asked at least."""
    assert some(told.failures) == {}
    assert some(told.not_the_others) == {}
    assert some(told.counted_ok) == {}
    assert {case: asked for case, asked in told.bad_asked.items() if asked < least} == {}
    assert {case: classes for case, classes in told.classes.items() if "" in classes} == {}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_200_that_is_no_answer_is_another_deployments_chance(
    hosts: Hosts, models: Models, key: str, stream: bool
) -> None:
    judge_other_answers(answers.useless(hosts, models, key, 4, stream=stream), least=4)


def test_a_stalled_stream_ends_at_the_idle_limit_and_harms_no_other(
    hosts: Hosts, models: Models, key: str
) -> None:
    judge_stalls(streams.stalls(hosts, models, key, each=4))


def judge_stalls(told: streams.Stalls) -> None:
    for case, (shortest, longest) in told.cut_after.items():
        assert told.idle - 0.5 <= shortest <= longest <= told.idle + 0.5, case
    assert some(told.not_broken_off) == {}
    assert (told.wrong_rows, told.left_open) == (0, 0)
    assert told.healthy >= told.stalled / 3
    assert (told.healthy_failed, told.healthy_wrong) == ({}, 0)


def test_a_stream_that_is_reset_ends_in_an_error_and_is_not_replayed(
    hosts: Hosts, models: Models, key: str
) -> None:
    judge_breaks(streams.breaks(hosts, models, key, count=8))


def judge_breaks(told: streams.Breaks) -> None:
    assert (told.not_broken_off, told.replayed, told.other_attempts) == (0, 0, 0), told.examples
    assert (told.not_failed, told.off, told.others_failed) == (0, 0, 0), told.examples
    assert told.delivered >= told.streams


@pytest.mark.parametrize("case", BAD_OF_THREE)
def test_one_bad_deployment_of_three_costs_no_client_an_answer(
    hosts: Hosts, models: Models, key: str, case: str
) -> None:
    judge_one_bad(providers.one_bad(hosts, models, key, case, requests=120, clients=8))


def judge_one_bad(told: providers.OneBad) -> None:
    assert told.success >= 0.999, told.failures
    assert told.wrong_words == 0
    assert told.asked >= 5
    assert told.beyond <= 0, told
    assert told.arrived == (0 if told.case == "refuses" else told.asked)


def test_providers_that_all_say_503_are_not_asked_much_more_often(hosts: Hosts, key: str) -> None:
    judge_storm(providers.storm(hosts, key, rate=30, seconds=3, settle=1, after=1))


def judge_storm(told: providers.Storm) -> None:
    assert told.requests >= 0.9 * told.rate * told.seconds
    assert told.attempts <= 1.2 * told.requests + 10
    assert told.others == {}
    assert told.success_after >= 0.99, told.after_failed


def test_nobody_is_sent_to_a_provider_before_the_time_that_it_named(
    hosts: Hosts, models: Models, key: str
) -> None:
    judge_pauses(providers.pauses(hosts, models, key, rounds=1, rate=40))


def judge_pauses(told: providers.Pauses) -> None:
    assert some(told.early) == some(told.without_wait) == {}
    assert min(told.refused.values()) >= 10 * told.rounds
    assert min(told.served_after.values()) >= told.rounds


def test_ten_places_are_never_eleven_although_a_worker_dies(hosts: Hosts, key: str) -> None:
    judge_parallel(places.parallel(hosts, key, 30, before=1.5, after=4.5, hurry=True))


def judge_parallel(told: places.Parallel) -> None:
    assert (told.most, told.most_before, told.most_after) == (SLOTS, SLOTS, SLOTS)
    assert told.dead_slots > 0
    assert told.full_again <= 35
    assert told.slots_left == 0
    assert told.broken.keys() <= {"0", "200"}
    assert sum(told.broken.values()) <= told.clients / 2
    assert told.broken_later == 0
    assert told.served > told.served_meanwhile > 0
