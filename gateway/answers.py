"""What must be known of an answer: did it succeed, did it end, and what did it use."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

_MOST = 10**12  # tokens; a larger count is a provider's mistake


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one answer; `estimated` where the provider did not say or cannot be believed."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0
    estimated: bool = False
    cache_write: int = 0
    audio_input: int = 0
    audio_output: int = 0
    images: int = 0

    @property
    def total(self) -> int:
        return self.prompt + self.completion


def read_usage(reported: object) -> Usage | None:
    """A provider's `usage` object, or None where it is absent or nonsense (negative, text, absurd)."""
    if not isinstance(reported, Mapping):
        return None
    prompt = _tokens(reported.get("prompt_tokens", reported.get("input_tokens")))
    completion = _tokens(reported.get("completion_tokens", reported.get("output_tokens", 0)))
    if prompt is None or completion is None:
        return None
    return Usage(
        prompt,
        completion,
        cached=min(_told(reported, _CACHED), prompt),
        cache_write=min(_told(reported, _CACHE_WRITE), prompt),
        audio_input=min(_told(reported, _AUDIO_INPUT), prompt),
        reasoning=min(_told(reported, _REASONING), completion),
        audio_output=min(_told(reported, _AUDIO_OUTPUT), completion),
    )


# Where providers say what part of the tokens was special: in the details of either wire, or beside the
# totals (DeepSeek, Moonshot, proxies of Anthropic's models).
_PROMPT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
_COMPLETION_DETAILS = ("completion_tokens_details", "output_tokens_details")
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


def _told(reported: Mapping[Any, Any], places: _Places) -> int:
    """The first count that one of these places has."""
    return next((count for group, name in places if (count := _detail(reported, group, name))), 0)


def _tokens(value: object) -> int | None:
    sound = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST
    return value if sound else None  # type: ignore[return-value]


def _detail(reported: Mapping[Any, Any], group: str, name: str) -> int:
    details = reported.get(group) if group else reported
    return (_tokens(details.get(name)) or 0) if isinstance(details, Mapping) else 0


# --- whole answers -----------------------------------------------------------------------------


class _Whole(msgspec.Struct):
    choices: msgspec.Raw = msgspec.Raw(b"null")
    usage: Any = None
    error: Any = None
    id: Any = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of an answer with status 200: why it is no success ("" when it is one), and its usage if told."""

    problem: str
    usage: Usage | None = None
    error: object = None


def judge(body: bytes) -> Verdict:
    """Judge the body of a whole chat answer."""
    try:
        answer = msgspec.json.decode(body, type=_Whole)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Verdict("empty_answer" if not body.strip() else "broken_answer")
    if answer.error:
        return Verdict("error_in_answer", error=answer.error)
    if not _LIST_OF_SOME.match(answer.choices):
        return Verdict("no_choices")
    return Verdict("", read_usage(answer.usage))


_LIST_OF_SOME = re.compile(rb"\[\s*[^\s\]]")


def estimate_completion(body: bytes) -> int:
    """Tokens of a whole answer whose provider did not count them: four bytes of text each."""
    try:
        answer = msgspec.json.decode(body)
        messages = [c.get("message") for c in answer.get("choices") or () if isinstance(c, dict)]
        return -(-sum(_text_size(message) for message in messages) // 4)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return 0


def _text_size(value: object) -> int:
    match value:
        case str():
            return len(value.encode())
        case dict():
            return sum(_text_size(item) for name, item in value.items() if name not in ("role", "id", "type"))
        case list():
            return sum(_text_size(item) for item in value)
    return 0


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


@dataclass(frozen=True, slots=True)
class StreamState:
    """What is known of a stream so far. `tokens` counts the events that carried something new."""

    tokens: int = 0
    finished: bool = False
    done: bool = False
    usage: Usage | None = None
    error: object = None

    def used(self, prompt_tokens: int) -> Usage:
        """The usage told, else an estimate from what was delivered."""
        return self.usage or Usage(prompt_tokens, self.tokens, estimated=True)


def watch(state: StreamState, data: bytes) -> tuple[StreamState, bool]:
    """The state after one event, and whether the event is the extra usage chunk (`choices: []`)."""
    if data == DONE:
        return replace(state, done=True), False
    try:
        chunk = msgspec.json.decode(data, type=_Chunk)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return state, False  # a vendor's own event: passes, counts for nothing
    choices = chunk.choices or []
    usage = state.usage
    if chunk.usage is not None:
        usage = read_usage(chunk.usage)
    told = StreamState(
        tokens=state.tokens + any(_carries(choice.delta) for choice in choices),
        finished=state.finished or any(choice.finish_reason for choice in choices),
        done=state.done,
        usage=usage,
        error=chunk.error or state.error,
    )
    return told, chunk.usage is not None and chunk.choices == []


def _carries(delta: _Delta | None) -> bool:
    if delta is None:
        return False
    return bool(
        delta.content or delta.reasoning_content or delta.reasoning or delta.refusal or delta.tool_calls
    )
