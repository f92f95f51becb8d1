"""Decisions in plain words, for people who ask why a request went where it went."""

from collections.abc import Mapping
from dataclasses import dataclass

from providers.decisions import RETRY, Candidate, Decision, Fate
from providers.fallbacks import On
from providers.prices import PER
from providers.retries import Next, after_status
from providers.routing import Passed, Strategy

NOT_RECORDED = "No decision was recorded: the row is of a version that kept none."


@dataclass(frozen=True, slots=True)
class Seen:
    """What the ledger has of the attempt that a decision led to; `followed`: there was another one."""

    status: str
    http_status: int | None = None
    error_class: str = ""
    followed: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence or more; of a deployment with its `name` in front and its `fate`."""

    text: str
    name: str = ""
    fate: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.text}" if self.name else self.text


def explained(decision: Decision | None, seen: Seen) -> list[Line]:
    """Why this one, why no other, and what its end meant."""
    why = [Line(NOT_RECORDED)] if decision is None else choice(decision)
    then = _after(decision, seen)
    return [*why, Line(then)] if then else why


def choice(decision: Decision, *, ahead: bool = False) -> list[Line]:
    """Why this one and no other. `ahead`: of a request that is not made yet."""
    return [
        *map(Line, _before(decision, ahead)),
        *_deployments(decision, ahead),
        *([Line(decision.note)] if decision.note else []),
    ]


def _before(decision: Decision, ahead: bool) -> list[str]:
    lines = []
    if decision.instead_of:
        lines.append(f"Asked instead of {decision.instead_of}: {_CAUSES.get(decision.on, _CAUSES[On.ANY])}.")
    if decision.asked:
        lines.append(f"The client {'asks' if ahead else 'asked'} for {decision.asked}.")
    if decision.tags:
        lines.append(f"Tags of the request: {', '.join(decision.tags)}.")
    if decision.queued_ms:
        lines.append(f"It waited {_milliseconds(decision.queued_ms)} for a free place.")
    return lines


_CAUSES: Mapping[str, str] = {
    On.ANY: "it could not answer",
    On.CONTEXT_WINDOW: "the prompt was too long for it",
    On.CONTENT_POLICY: "its provider refused the content",
}


# --- the deployments that were considered -------------------------------------------------------


def _deployments(decision: Decision, ahead: bool) -> list[Line]:
    if not decision.candidates:
        return []
    several = len(decision.candidates) + decision.cut > 1
    order = Line(f"Order: {_STRATEGIES.get(decision.strategy, decision.strategy)}.")
    lines = [order] if several else []
    blocked = False
    for each in decision.candidates:
        text = f"{_fate(each, decision, ahead, blocked, several)}{_facts(each, decision)}."
        lines.append(Line(text, each.name, each.fate))
        blocked |= each.fate in _NO_ROOM
    if decision.cut:
        lines.append(Line(f"{decision.cut} more deployments are not listed."))
    return lines


_STRATEGIES: Mapping[str, str] = {
    Strategy.WEIGHTED: "lower priority first, then shares by weight",
    Strategy.LEAST_BUSY: "lower priority first, then fewest requests in flight for the weight",
    Strategy.LATENCY: "lower priority first, then the soonest first token",
    Strategy.COST: "lower priority first, then the cheapest price",
    Strategy.USAGE: "lower priority first, then most left of the limits per minute",
}
_NO_ROOM = frozenset({Fate.PLACES, Fate.LIMIT, Fate.FULL})
_PAST: Mapping[str, str] = {
    Fate.AGAIN: "asked again on a new connection, for the kept one had died",
    Fate.NEXT: "would have been next",
    Fate.PLACES: "passed over, all its places were taken",
    Fate.LIMIT: "passed over, a limit of its own was reached",
    Fate.FULL: "passed over, its places were taken or a limit of its own was reached",
    Passed.TAGS: "left out, its tags did not fit those of the request",
    Passed.TRIED: "left out, it had been asked already",
    Passed.RESTING: "left out, its provider had asked to be left alone for a while",
    Passed.EJECTED: "left out, it was put aside after failures",
    Passed.QUEUED_OUT: "left out, the request had waited for it as long as it may",
    Passed.GONE: "left out, it was drained, switched off or deleted after the request came",
    Passed.SURFACE: "left out, its provider does not serve this endpoint",
    Passed.ELSEWHERE: "left out, what the request refers to is at another provider",
}
_AHEAD: Mapping[str, str] = {
    Fate.NEXT: "next",
    Fate.PLACES: "passed over, all its places are taken",
    Fate.LIMIT: "passed over, a limit of its own is reached",
    Fate.FULL: "passed over, its places are taken or a limit of its own is reached",
    Passed.TAGS: "left out, its tags do not fit those of the request",
    Passed.RESTING: "left out, its provider asked to be left alone for a while",
    Passed.EJECTED: "left out, it is put aside after failures",
}


def _fate(each: Candidate, decision: Decision, ahead: bool, blocked: bool, several: bool) -> str:
    if each.fate != Fate.CHOSEN:
        words = _AHEAD.get(each.fate) if ahead else None
        return words or _PAST.get(each.fate, each.fate)
    asked = "would be asked" if ahead else "asked"
    if not several:
        return f"{asked}, it is the only deployment"
    if blocked:
        return f"{asked}, the first in line that had room" if not ahead else f"{asked}, the first with room"
    return f"{asked}, {_reason(each, decision)}"


def _reason(chosen: Candidate, decision: Decision) -> str:
    """What put it before the others."""
    others = [each for each in decision.candidates if each.fate == Fate.NEXT]
    tier = [each for each in others if each.priority == chosen.priority]
    if not others:
        return "the only one that could be"
    if not tier:
        return "the only one of the lowest priority that could be"
    if all(not each.weight for each in tier) and chosen.weight:
        return "the others of its priority stand by"
    if decision.strategy == Strategy.WEIGHTED or all(each.score == chosen.score for each in tier):
        return "it was its turn" if decision.strategy == Strategy.WEIGHTED else "it was its turn among equals"
    return "the best by the order"


def _facts(each: Candidate, decision: Decision) -> str:
    facts = [f"priority {each.priority}", f"weight {each.weight}" if each.weight else "standby"]
    if score := _score(each, decision.strategy):
        facts.append(score)
    if each.part < 100:
        facts.append(f"{each.part} % of its share while it comes back")
    return f" ({', '.join(facts)})"


def _score(each: Candidate, strategy: str) -> str:
    if each.score is None:
        return "no price known" if strategy == Strategy.COST and each.fate != Passed.TAGS else ""
    match strategy:
        case Strategy.LEAST_BUSY:
            return f"{each.score:.3g} in flight for its weight"
        case Strategy.LATENCY:
            return f"first token in {each.score:.3g} s" if each.score else "latency not known yet"
        case Strategy.COST:
            return f"${each.score / PER / 1e9:.9f}".rstrip("0").rstrip(".") + " for 1000 tokens in and out"
        case Strategy.USAGE:
            return f"{100 * each.score:.0f} % of its limits used"
    return ""


# --- what the end of the attempt meant ----------------------------------------------------------


def _after(decision: Decision | None, seen: Seen) -> str:
    if seen.status == "failed":
        return f"It failed with {_failure(seen)}: {_then(decision, seen)}."
    return _ENDS.get(seen.status, "")


_ENDS: Mapping[str, str] = {
    "cancelled": "The client left before the answer had come to its end.",
    "interrupted": "The gateway's worker died before the answer ended; its tokens and cost are estimates.",
}


def _failure(seen: Seen) -> str:
    if seen.error_class.startswith("http_"):
        return f"HTTP status {seen.error_class.removeprefix('http_')}"
    return seen.error_class.replace("_", " ") or "no answer"


def _then(decision: Decision | None, seen: Seen) -> str:
    if seen.followed:
        return "another attempt was made"
    then = decision.then if decision else ""
    if then == RETRY:
        return "another deployment was to be asked, but none had room in time"
    if then:
        return _STOPS.get(then, then)
    if seen.error_class.startswith("http_") and _is_final(seen):
        return _STOPS["final"]
    return "the client was told"


def _is_final(seen: Seen) -> bool:
    return seen.http_status is not None and after_status(seen.http_status) is Next.FINAL


# By `providers.retries.Stop`.
_STOPS: Mapping[str, str] = {
    "final": "the client's own doing, which any other would refuse too, so its answer was passed on",
    "client_left": "nobody waited for another one's answer any more",
    "attempts": "the request had all the attempts that its model allows",
    "kind": "its model allows no more attempts after an error of this kind",
    "deadline": "there was no time left for another attempt",
    "budget": "too many requests were being retried, so this one was not",
    "nobody_left": "there was no other deployment to ask",
}


def _milliseconds(ms: int) -> str:
    return f"{ms} ms" if ms < 1000 else f"{ms / 1000:.1f} s"
