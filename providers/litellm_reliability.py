"""When a deployment fails: retries, timeouts and pauses that a config.yml sets for all of its models."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from providers.litellm_own import MOST_ATTEMPTS, MOST_FAILURES
from providers.litellm_policies import note_allowed_fails, retries_in
from providers.litellm_records import Desk, ModelRecord
from providers.litellm_values import flag_of, integer_of, is_unread, mapping_of, number_of
from providers.litellm_yaml import Node
from providers.spelling import nearest

# What LiteLLM does without num_retries.
_USUAL_RETRIES = 2


@dataclass(frozen=True, slots=True)
class Sections:
    """Two sections that may say the same; where both do, `router_settings` holds, as in LiteLLM."""

    router: Mapping[str, Node]
    litellm: Mapping[str, Node]

    def said(self, name: str, desk: Desk, also: str = "") -> Node | None:
        """Where a setting stands; in `litellm_settings` it may be called `also`."""
        mine, other = self.router.get(name), self.litellm.get(also or name)
        if mine is None or other is None:
            return mine or other
        if isinstance(mine.value, list) and not mine.value:
            desk.note(mine, "inert", "empty, so litellm_settings says it")
            return other
        desk.cover(other, "inert", f"router_settings.{name} says it already")
        return mine


@dataclass(frozen=True, slots=True)
class ForAll:
    """What holds for every model of a file that does not say otherwise; None: nothing. Times in seconds."""

    retries: int | None = None
    retries_by_error: Mapping[str, int] = field(default_factory=dict)
    timeout: float | None = None
    stream_timeout: float | None = None
    idle_timeout: float | None = None
    eject_after: int | None = None
    eject_seconds: float | None = None


def read_for_all(sections: Sections, desk: Desk) -> ForAll:
    """The settings for all models, each noted."""
    router = sections.router
    usual = router.get("default_litellm_params")
    given = {} if usual is None else mapping_of(usual)
    defaults = {name: node for name, node in given.items() if node.value is not None}
    timeout = _first(sections.said("timeout", desk, "request_timeout"), defaults.get("timeout"), desk)
    stream = _first(router.get("stream_timeout"), defaults.get("stream_timeout"), desk)
    _note_wait(router.get("retry_after"), desk)
    _note_checks(router.get("optional_pre_call_checks"), desk)
    note_allowed_fails(router.get("allowed_fails_policy"), desk)
    return ForAll(
        retries=_retries(sections.said("num_retries", desk), desk),
        retries_by_error=retries_in(router.get("retry_policy"), desk),
        timeout=_seconds(timeout, "for one attempt", desk),
        stream_timeout=sooner(
            _seconds(stream, FIRST_EVENT, desk), _seconds(router.get("ttft_timeout"), FIRST_EVENT, desk)
        ),
        idle_timeout=_seconds(router.get("stream_idle_timeout"), BETWEEN_EVENTS, desk),
        eject_after=_eject_after(router.get("disable_cooldowns"), sections.said("allowed_fails", desk), desk),
        eject_seconds=pause_of(router.get("cooldown_time"), desk),
    )


FIRST_EVENT = "until the first event of a stream"
BETWEEN_EVENTS = "between two events of a stream"


def sooner(one: float | None, other: float | None) -> float | None:
    """The shorter of two times that may not be set."""
    return min((time for time in (one, other) if time is not None), default=None)


def _first(one: Node | None, other: Node | None, desk: Desk) -> Node | None:
    if one is not None and other is not None:
        desk.note(other, "inert", f"{one.shown} says it already")
    return one or other


def _read[T](node: Node | None, desk: Desk, read: Callable[[Node], T]) -> T | None:
    return None if node is None or is_unread(node, desk) else read(node)


def _seconds(node: Node | None, what: str, desk: Desk) -> float | None:
    """A timeout; LiteLLM takes 0 for none."""
    seconds = _read(node, desk, lambda node: number_of(node, 0))
    if node is None or seconds is None:
        return None
    if not seconds:
        desk.note(node, "inert", "0 is no timeout in LiteLLM; that of the gateway's settings holds")
        return None
    desk.note(node, "changed" if what == FIRST_EVENT else "applied", f"{seconds:g} s {what}")
    return seconds


def pause_of(node: Node | None, desk: Desk) -> float | None:
    """`cooldown_time`."""
    seconds = _read(node, desk, lambda node: number_of(node, 0))
    if node is None or seconds is None:
        return None
    if not seconds:
        desk.note(node, "inert", "0 is LiteLLM's usual time, which is 5 s here too")
        return None
    desk.note(
        node, "changed", f"{seconds:g} s at first, doubled while it keeps failing; always as long in LiteLLM"
    )
    return seconds


def attempts_for(retries: int) -> int:
    """How many attempts a request has, the first one included."""
    return min(retries + 1, MOST_ATTEMPTS)


def retries_told(retries: int) -> str:
    """What becomes of a number of retries, in words."""
    if not retries:
        return "one attempt"
    attempts = attempts_for(retries)
    most = f", the most there are, for {retries + 1}" if attempts <= retries else ""
    return f"{attempts} attempts{most}, each at another deployment; LiteLLM may ask the same one again"


def _retries(node: Node | None, desk: Desk) -> int | None:
    retries = _read(node, desk, lambda node: integer_of(node, 0))
    if node is not None and retries is not None:
        desk.note(node, "changed" if retries else "applied", retries_told(retries))
    return retries


def _eject_after(disable: Node | None, allowed: Node | None, desk: Desk) -> int | None:
    """After how many failures in a row a deployment is put aside; 0: never."""
    never = _read(disable, desk, flag_of)
    if disable is not None and never is not None:
        told = "no deployment is put aside for failing; one that names a time in Retry-After still rests"
        desk.note(disable, "changed" if never else "applied", told if never else "failing ones are put aside")
    if allowed is not None and never:
        desk.cover(allowed, "inert", "disable_cooldowns is on")
        return 0
    fails = _read(allowed, desk, lambda node: integer_of(node, 0, MOST_FAILURES - 1))
    if allowed is None or fails is None:
        return 0 if never else None
    told = f"failure {fails + 1} in a row puts a deployment aside"
    desk.note(allowed, "changed", f"{told}; LiteLLM counts those of a minute, also with successes between")
    return fails + 1


def _note_wait(node: Node | None, desk: Desk) -> None:
    wait = _read(node, desk, lambda node: number_of(node, 0))
    if node is None or wait is None:
        return
    told = "the next deployment is asked at once"
    if wait:
        desk.note(node, "unsupported", f"{told}; a provider's own Retry-After is obeyed")
    else:
        desk.note(node, "applied", told)


# Pre-call checks of LiteLLM that are always made here.
_CHECKED = frozenset({"router_budget_limiting", "enforce_model_rate_limits"})


def _note_checks(node: Node | None, desk: Desk) -> None:
    if node is None:
        return
    names = [str(item.plain()) for item in node.children()]
    missing = [name for name in names if name not in _CHECKED]
    if missing:
        told = f"there is no {', '.join(missing)}: no client or prompt is bound to a deployment"
        desk.cover(node, "unsupported", told)
    else:
        desk.cover(node, "applied", "limits and budgets of deployments always hold")


def with_reliability(
    models: Mapping[str, ModelRecord], for_all: ForAll, by_group: Node | None, desk: Desk
) -> dict[str, ModelRecord]:
    """The models with what holds for all, where their own entries say nothing."""
    by_model = _retries_by_model(by_group, models, desk)
    attempts = None if for_all.retries is None else attempts_for(for_all.retries)
    found = {}
    for name, model in models.items():
        usual = {
            "max_attempts": attempts,
            "retries_by_error": by_model.get(name, for_all.retries_by_error) or None,
            **{
                field: getattr(for_all, field)
                for field in ("timeout", "stream_timeout", "idle_timeout", "eject_after", "eject_seconds")
            },
        }
        missing = {field: value for field, value in usual.items() if getattr(model, field) is None}
        found[name] = replace(model, **missing)
    return found


def _retries_by_model(
    node: Node | None, models: Mapping[str, ModelRecord], desk: Desk
) -> dict[str, Mapping[str, int]]:
    if node is None:
        return {}
    desk.note(node, "applied", "retries by kind of error, model by model")
    found: dict[str, Mapping[str, int]] = {}
    for name, below in mapping_of(node).items():
        if below.value is None:
            desk.note(below, "inert", "has no value")
        elif name not in models:
            desk.cover(below, "unsupported", f"no model of this file is called {name}{nearest(name, models)}")
        else:
            found[name] = retries_in(below, desk)
    return found


def settle_retries(claims: Mapping[Node, int], of: int, for_all: ForAll, desk: Desk) -> int | None:
    """The attempts of a model by what its entries say: the most of them. `of` is how many entries it has."""
    if not claims:
        return None
    usual = _USUAL_RETRIES if for_all.retries is None else for_all.retries
    counted = [*claims.values(), *([usual] if len(claims) < of else [])]
    most = max(counted)
    for node, retries in claims.items():
        told = retries_told(most)
        more = (
            ""
            if retries == most
            else f"; {retries} here, but the most that the model's entries ask for holds"
        )
        desk.note(node, "applied" if not most else "changed", f"{told}{more}")
    return attempts_for(most)
