"""What must be known of an answer: did it succeed, did it end, and what did it use."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import msgspec

_MOST = 10**12  # tokens; a larger count is a provider's mistake


@dataclass(frozen=True, slots=True)
class Usage:
    """What one answer used: tokens, and beside them images, seconds heard and characters spoken.

    `estimated` where the provider did not say or cannot be believed.

    `anomaly` says what was wrong with what it said: missing, not_a_number, negative, absurd, contradictory
    or implausible.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0
    estimated: bool = False
    cache_write: int = 0
    audio_input: int = 0
    audio_output: int = 0
    images: int = 0
    anomaly: str = ""
    seconds: int = 0
    characters: int = 0

    @property
    def total(self) -> int:
        return self.prompt + self.completion


def seconds_heard(told: object) -> int:
    """Seconds of sound, the last one begun counted whole; 0: that is no time."""
    if not isinstance(told, int | float) or isinstance(told, bool) or not 0 < told <= _MOST:
        return 0
    return ceil(told)


class Unsound(Exception):
    """A count that cannot be one; its text is the anomaly."""


def read_usage(reported: object) -> Usage:
    """A provider's `usage` object. Whatever is wrong with it, nothing in it is negative.

    Where prompt or completion cannot be told, both are 0. Otherwise what can be told stands, at most
    estimated: a part beyond its whole is cut, an impossible part is 0.
    """
    if reported is None or reported == {}:
        return NOT_TOLD
    if not isinstance(reported, Mapping):
        return replace(NOT_TOLD, anomaly="not_a_number")
    try:
        prompt = count(reported.get("prompt_tokens", reported.get("input_tokens")))
        completion = count(reported.get("completion_tokens", reported.get("output_tokens", 0)))
    except Unsound as wrong:
        return replace(NOT_TOLD, anomaly=str(wrong))
    sums_to_less = _sums_to_less(reported.get("total_tokens"), prompt + completion)
    if not sums_to_less and _TELL_PARTS.isdisjoint(reported):
        return Usage(prompt, completion)
    wrongs: list[str] = []
    usage = Usage(
        prompt,
        completion,
        cached=_part(reported, _CACHED, prompt, wrongs),
        cache_write=_part(reported, _CACHE_WRITE, prompt, wrongs),
        audio_input=_part(reported, _AUDIO_INPUT, prompt, wrongs),
        reasoning=_part(reported, _REASONING, completion, wrongs),
        audio_output=_part(reported, _AUDIO_OUTPUT, completion, wrongs),
    )
    if sums_to_less:
        wrongs.append("contradictory")
    return replace(usage, estimated=True, anomaly=wrongs[0]) if wrongs else usage


NOT_TOLD = Usage(estimated=True, anomaly="missing")
# Of answers whose providers never count: that is no anomaly.
NEVER_TOLD = Usage(estimated=True, anomaly="never_told")

# Where providers say what part of the tokens was special: in the details of each wire, or beside the
# totals (DeepSeek, Moonshot, proxies of Anthropic's models).
_PROMPT_DETAILS = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_COMPLETION_DETAILS = ("completion_tokens_details", "output_tokens_details", "output_token_details")
type _Places = tuple[tuple[str, str], ...]
_CACHED: _Places = (
    *((group, "cached_tokens") for group in _PROMPT_DETAILS),
    ("", "cache_read_input_tokens"),
    ("", "prompt_cache_hit_tokens"),
    ("", "cached_tokens"),
)
_CACHE_WRITE: _Places = (
    *((group, "cache_write_tokens") for group in _PROMPT_DETAILS),
    *((group, "cache_creation_tokens") for group in _PROMPT_DETAILS),
    ("", "cache_creation_input_tokens"),
)
_AUDIO_INPUT: _Places = tuple((group, "audio_tokens") for group in _PROMPT_DETAILS)
_REASONING: _Places = tuple((group, "reasoning_tokens") for group in _COMPLETION_DETAILS)
_AUDIO_OUTPUT: _Places = tuple((group, "audio_tokens") for group in _COMPLETION_DETAILS)
# Without any of these names, the totals are all that is told.
_TELL_PARTS = frozenset(
    group or name
    for places in (_CACHED, _CACHE_WRITE, _AUDIO_INPUT, _REASONING, _AUDIO_OUTPUT)
    for group, name in places
)
# Anthropic counts these beside its input tokens, so that they may well be more.
_BESIDE = frozenset({"cache_read_input_tokens", "cache_creation_input_tokens"})


def _part(reported: Mapping[Any, Any], places: _Places, whole: int, wrongs: list[str]) -> int:
    """The first count that one of these places has, as a part of the whole."""
    for group, name in places:
        details = reported.get(group) if group else reported
        told = details.get(name) if isinstance(details, Mapping) else None
        if told is None:
            continue
        try:
            tokens = count(told)
        except Unsound as wrong:
            wrongs.append(str(wrong))
            continue
        if tokens > whole and name not in _BESIDE:
            wrongs.append("contradictory")
        if tokens:
            return min(tokens, whole)
    return 0


def count(value: object) -> int:
    """A count of tokens. Raises `Unsound`."""
    if value is None:
        raise Unsound("missing")
    if not isinstance(value, int) or isinstance(value, bool):
        raise Unsound("not_a_number")
    if not 0 <= value <= _MOST:
        raise Unsound("negative" if value < 0 else "absurd")
    return value


def _sums_to_less(told: object, total: int) -> bool:
    """More is no contradiction: some providers count thinking in the total alone."""
    return isinstance(told, int) and not isinstance(told, bool) and told < total


# --- whole answers -----------------------------------------------------------------------------


class _Whole(msgspec.Struct):
    choices: msgspec.Raw = msgspec.Raw(b"null")
    usage: Any = None
    error: Any = None
    id: Any = None


_whole = msgspec.json.Decoder(_Whole)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of an answer with status 200: why it is no success ("" when it is one), and its usage if told.

    `blameless`: the request itself may be why, so it says nothing of the deployment's health.
    """

    problem: str
    usage: Usage = NOT_TOLD
    error: object = None
    blameless: bool = False


def judge(body: bytes) -> Verdict:
    """Judge the body of a whole chat answer."""
    try:
        answer = _whole.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Verdict("empty_answer" if not body.strip() else "broken_answer")
    if answer.error:
        return Verdict("error_in_answer", error=answer.error)
    if not _LIST_OF_SOME.match(answer.choices):
        return Verdict("no_choices", blameless=has_read(answer.usage))
    return Verdict("", read_usage(answer.usage))


def has_read(reported: object) -> bool:
    """Whether a provider counted the prompt: one that then says nothing may well have refused it."""
    return read_usage(reported).prompt > 0


_LIST_OF_SOME = re.compile(rb"\[\s*[^\s\]]")


def estimate_completion(body: bytes) -> int:
    """Tokens of a whole answer whose provider did not count them: four bytes of text each."""
    try:
        answer = msgspec.json.decode(body)
        messages = [c.get("message") for c in answer.get("choices") or () if isinstance(c, dict)]
        return -(-sum(text_size(message) for message in messages) // 4)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return 0


def text_size(value: object) -> int:
    """Bytes of all text in a decoded value, without roles, ids and types."""
    match value:
        case str():
            return len(value.encode())
        case dict():
            return sum(text_size(item) for name, item in value.items() if name not in ("role", "id", "type"))
        case list():
            return sum(text_size(item) for item in value)
    return 0


def used_by_whole(
    told: Usage, prompt_tokens: int, body: bytes, weigh: Callable[[bytes], int] = estimate_completion
) -> Usage:
    """What a whole answer used: what was told, as far as it tells, else an estimate.

    `weigh`: the tokens of an answer of this form whose provider did not count them.
    """
    if told.total or not told.anomaly:
        return told
    if told.anomaly == NEVER_TOLD.anomaly:
        return replace(told, prompt=prompt_tokens, anomaly="")
    return replace(told, prompt=prompt_tokens, completion=weigh(body))


# --- streams -----------------------------------------------------------------------------------

DONE = b"[DONE]"


class _Delta(msgspec.Struct):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: Any = None


class _Choice(msgspec.Struct):
    finish_reason: Any = None
    delta: _Delta | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None


_chunk = msgspec.json.Decoder(_Chunk)


class StreamState(msgspec.Struct, frozen=True):  # one an event: a dataclass takes five times as long to make
    """What is known of a stream so far. `tokens` counts the events that carried something new.

    `begun`: an event with something of the answer has come; one without any is none. `bulk`: its events are
    pictures or sound, of which nobody can tell how many tokens they are.
    `usage` is the last sound one told, else the last of any kind; `anomaly` what was wrong with one that
    came after it.
    """

    tokens: int = 0
    finished: bool = False
    done: bool = False
    usage: Usage | None = None
    anomaly: str = ""
    error: object = None
    begun: bool = False
    bulk: bool = False

    def used(self, prompt_tokens: int) -> Usage:
        """The usage told, else an estimate from what was delivered."""
        usage = self.usage
        if usage is None or (usage.anomaly and not usage.total):
            # a stream that did not come to its end had no time to tell
            anomaly = usage.anomaly if usage else "missing" * self.finished
            if anomaly == NEVER_TOLD.anomaly:
                anomaly = ""
            images = usage.images if usage else 0
            return Usage(prompt_tokens, self.tokens, estimated=True, images=images, anomaly=anomaly)
        anomaly = usage.anomaly or self.anomaly
        if not self.finished and usage.completion < self.tokens:  # told at the beginning of the stream
            return replace(usage, completion=self.tokens, estimated=True, anomaly=anomaly)
        if not (anomaly or self.bulk) and usage.completion - usage.reasoning > _TIMES * self.tokens + _BEYOND:
            anomaly = "implausible"
        return replace(usage, anomaly=anomaly) if anomaly else usage


# Tokens told for each event delivered, and beside: above it, the count is flagged.
_TIMES, _BEYOND = 10, 1000


def watch(state: StreamState, data: bytes) -> tuple[StreamState, bool]:
    """The state after one event, and whether the event is the extra usage chunk (`choices: []`)."""
    if data == DONE:
        return msgspec.structs.replace(state, done=True), False
    try:
        chunk = _chunk.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return state, False  # a vendor's own event: passes, counts for nothing
    choices = chunk.choices or []
    usage, anomaly = state.usage, state.anomaly
    if chunk.usage:
        usage, anomaly = better(usage, read_usage(chunk.usage), anomaly)
    carries, finished = False, state.finished
    for choice in choices:
        carries = carries or _carries(choice.delta)
        finished = finished or bool(choice.finish_reason)
    told = StreamState(
        tokens=state.tokens + carries,
        finished=finished,
        done=state.done,
        usage=usage,
        anomaly=anomaly,
        error=chunk.error or state.error,
        begun=state.begun or bool(choices),
    )
    return told, chunk.usage is not None and chunk.choices == []


def better(known: Usage | None, told: Usage, anomaly: str) -> tuple[Usage, str]:
    """The last sound usage wins; an unsound one after it only leaves its mark."""
    if not told.anomaly or known is None or known.anomaly:
        return told, ""
    return known, told.anomaly


def _carries(delta: _Delta | None) -> bool:
    if delta is None:
        return False
    return bool(
        delta.content or delta.reasoning_content or delta.reasoning or delta.refusal or delta.tool_calls
    )
