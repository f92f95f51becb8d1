"""Providers that answer, but badly; each as one function of its size, judged by tests."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.torture.crowd import Answer, crowd
from tests.torture.hosts import Hosts
from tests.torture.routing_rig import Models, failures, mixed, requests_of, rows_of, streams, wholes
from tests.upstream import Behaviour, error

CLIENTS = 8
FILTERED = {
    "message": "The response was filtered due to the prompt triggering a content policy.",
    "type": None,
    "param": "prompt",
    "code": "content_filter",
    "innererror": {"code": "ResponsibleAIPolicyViolation"},
}
TOO_LONG = {
    "message": "This model's maximum context length is 8192 tokens.",
    "type": "invalid_request_error",
    "param": "messages",
    "code": "context_length_exceeded",
}
OWN_FAULTS = {
    "400": error(400),
    "413": error(413),
    "422": error(422),
    "content filter": error(400, {"error": FILTERED}),
    "too long": error(400, {"error": TOO_LONG}),
}
MISCONFIGURED = {str(status): error(status) for status in (401, 403, 404)}

OVERLOADED = {"error": {"message": "overloaded", "code": 503}}
_USELESS = {
    "an error": error(200, OVERLOADED),
    "an error as text": error(200, {"error": "overloaded"}),
    "nothing": error(200, ""),
    "a blank line": error(200, "\n"),
    "html": error(200, "<html>hello</html>"),
}
USELESS_WHOLE = {
    **_USELESS,
    "truncated, its length told": Behaviour(truncate=5),
    "cut short": Behaviour(fault="close"),
    "no choices": error(200, {"choices": []}),
    "no list of choices": error(200, {"id": "1", "object": "chat.completion"}),
    "choices of null": error(200, {"choices": None}),
    "a stream": Behaviour(body="data: [DONE]\n\n", content_type="text/event-stream"),
    "words": Behaviour(body="I am fine", content_type="text/plain"),
}


def _told(*events: str, cut: bool = False) -> Behaviour:
    body = "".join(f"data: {event}\n\n" for event in events)
    return Behaviour(body=body[:-12] if cut else body, content_type="text/event-stream")


USELESS_STREAM = {
    **_USELESS,
    "an error first": _told(json.dumps(OVERLOADED), "[DONE]"),
    "no event": Behaviour(body="", content_type="text/event-stream"),
    "comments alone": Behaviour(body=": hello\n\n", content_type="text/event-stream"),
    "its end alone": _told("[DONE]"),
    "no choices": _told('{"id":"1","object":"chat.completion.chunk","choices":[]}', "[DONE]"),
    "truncated in its first event": _told('{"choices":[{"index":0,"delta":{"content":"he"}}]}', cut=True),
    "a whole answer": error(200, {"choices": [{"index": 0, "message": {"content": "whole"}}]}),
    "headers alone": Behaviour(fault="close"),
}


def words(answer: Answer) -> str:
    """The content of an answer that came whole, of either kind."""
    if answer.headers.get("transfer-encoding") == "chunked":
        chunks = [json.loads(event) for event in answer.events if event != "[DONE]"]
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        return "".join(choice["delta"].get("content") or "" for choice in choices)
    return str(json.loads(answer.body)["choices"][0]["message"]["content"])


WORDS = "w0 w1 w2 "  # of a well-behaved provider


# --- the request's own fault -------------------------------------------------------------------


@dataclass
class OwnFaults:
    """`more`: requests with more attempts than one; `changed`: bodies that were not passed on."""

    requests: int
    cases: int = 0
    changed: dict[str, int] = field(default_factory=dict)
    more: dict[str, int] = field(default_factory=dict)
    elsewhere: int = 0
    wrong_rows: int = 0


def own_faults(hosts: Hosts, models: Models, key: str, requests: int) -> OwnFaults:
    """What the next provider would say as well: 400, 413, 422, a content filter."""
    told = OwnFaults(requests)
    named = {case: models.take("pair") for case in OWN_FAULTS}
    for case, behaviour in OWN_FAULTS.items():
        hosts.upstream.behave(behaviour, model=named[case])
        answers = crowd(mixed(hosts, key, named[case], requests), CLIENTS)
        told.cases += 1
        told.changed[case] = sum(not _passed_on(answer, behaviour) for answer in answers)
    found = rows_of(hosts, list(named.values()), requests * len(named))
    for case, model in named.items():
        rows = [row for row in found if row["model"] == model]
        told.more[case] = sum(len(attempts) != 1 for attempts in requests_of(rows).values())
        told.more[case] += abs(len(hosts.upstream.log(model)) - requests)
        told.elsewhere += len(hosts.spare.log(model))
        due = ("failed", OWN_FAULTS[case].status)
        told.wrong_rows += sum((row["status"], row["http_status"]) != due for row in rows)
    return told


def _passed_on(answer: Answer, behaviour: Behaviour) -> bool:
    """Whether status and every member of the provider's error came to the client."""
    if answer.status != behaviour.status:
        return False
    sent, came = (json.loads(body)["error"] for body in (behaviour.body or "", answer.body))
    return all(came[name] == value for name, value in sent.items() if value is not None)


# --- a prompt that is too long -----------------------------------------------------------------

_TOO_LONG_FOR_VLLM = {
    "object": "error",
    "message": "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
    "type": "BadRequestError",
    "param": None,
    "code": 400,
}
_TOO_LONG_FOR_CLAUDE = {"type": "invalid_request_error", "message": "prompt is too long: 9000 tokens > 8192"}
TOO_LONG_SAID = {
    "OpenAI": error(400, {"error": TOO_LONG}),
    "vLLM": error(400, _TOO_LONG_FOR_VLLM),
    "Anthropic": error(400, {"type": "error", "error": _TOO_LONG_FOR_CLAUDE}),
}


@dataclass
class TooLong:
    """Attempts as model -> how many, of all requests; `failures` of those that had a larger model."""

    requests: int
    failures: dict[str, int] = field(default_factory=dict)
    wrong_words: int = 0
    with_larger: dict[str, int] = field(default_factory=dict)
    without: dict[str, int] = field(default_factory=dict)
    without_rights: dict[str, int] = field(default_factory=dict)
    not_passed_on: int = 0
    elsewhere: int = 0
    most_attempts: dict[str, int] = field(default_factory=dict)


def too_long(hosts: Hosts, key: str, key_of_short: str, each: int) -> TooLong:
    """With a larger model to ask instead, without one, and with one that the key may not use."""
    told = TooLong(each * len(TOO_LONG_SAID))
    larger, none, forbidden = (list[Answer]() for _ in range(3))
    for behaviour in TOO_LONG_SAID.values():
        for name in ("short", "short-alone"):
            hosts.upstream.behave(behaviour, model=name)
        larger += crowd(mixed(hosts, key, "short", each), CLIENTS)
        none += crowd(mixed(hosts, key, "short-alone", each), CLIENTS)
        forbidden += crowd(mixed(hosts, key_of_short, "short", each), CLIENTS)
    told.failures = failures(larger)
    told.wrong_words = sum(words(answer) != WORDS for answer in larger if answer.whole)
    told.not_passed_on = sum(
        answer.status != 400 or b"8192" not in answer.body for answer in none + forbidden
    )
    told.elsewhere = sum(len(hosts.spare.log(f"second-{name}")) for name in ("short", "short-alone"))
    attempts = requests_of(rows_of(hosts, ["short", "short-alone", "large"], 3 * told.requests))
    for kind, answers in (("with_larger", larger), ("without", none), ("without_rights", forbidden)):
        mine = [attempts[answer.headers["x-request-id"]] for answer in answers]
        setattr(told, kind, dict(Counter(row["model"] for rows in mine for row in rows)))
        told.most_attempts[kind] = max(map(len, mine))
    return told


# --- the deployment's fault --------------------------------------------------------------------


@dataclass
class OtherAnswers:
    """`bad_asked`: how often the bad one of two was; `counted_ok`: rows of it that say success."""

    requests: int
    cases: int = 0
    failures: dict[str, dict[str, int]] = field(default_factory=dict)
    not_the_others: dict[str, int] = field(default_factory=dict)
    bad_asked: dict[str, int] = field(default_factory=dict)
    counted_ok: dict[str, int] = field(default_factory=dict)
    classes: dict[str, list[str]] = field(default_factory=dict)


def misconfigured(hosts: Hosts, models: Models, key: str, requests: int) -> OtherAnswers:
    """401, 403 and 404 from one of two that are asked in turn."""
    told = OtherAnswers(requests)
    named = {case: models.take("even") for case in MISCONFIGURED}
    for case, model in named.items():
        hosts.upstream.behave(MISCONFIGURED[case], model=model)
        _asked(told, case, crowd(mixed(hosts, key, model, requests), CLIENTS))
    _booked(hosts, told, named)
    return told


def useless(hosts: Hosts, models: Models, key: str, requests: int, *, stream: bool) -> OtherAnswers:
    """A 200 that is no answer, from the deployment that is asked first."""
    told = OtherAnswers(requests)
    cases: Mapping[str, Behaviour] = USELESS_STREAM if stream else USELESS_WHOLE
    named = {case: models.take("pair") for case in cases}
    for case, model in named.items():
        hosts.upstream.behave(cases[case], model=model)
        orders = (streams if stream else wholes)(hosts, key, model, requests)
        _asked(told, case, crowd(orders, CLIENTS))
    _booked(hosts, told, named)
    return told


def _asked(told: OtherAnswers, case: str, answers: Sequence[Answer]) -> None:
    told.cases += 1
    told.failures[case] = failures(answers)
    told.not_the_others[case] = sum(words(answer) != WORDS for answer in answers if answer.whole)


def _booked(hosts: Hosts, told: OtherAnswers, named: Mapping[str, str]) -> None:
    """What the rows say of the bad deployments."""
    rows = rows_of(hosts, list(named.values()), told.requests * len(named))
    for case, model in named.items():
        bad = {seen.request_id for seen in hosts.upstream.log(model)}
        mine = [row for row in rows if row["attempt_id"] in bad]
        told.bad_asked[case] = len(mine)
        told.counted_ok[case] = sum(row["status"] == "ok" for row in mine)
        told.classes[case] = sorted({row["error_class"] for row in mine})
