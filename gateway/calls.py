"""What must be known of a request's body; everything else passes through as it came."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from gateway import calibration
from gateway.calibration import PromptSize

# Values too long for any number; parsers downstream choke on them (CPython stops at 4300 digits).
_LONGEST_NUMBER = 400
_LONG_RUN = 1000
_DIGIT = re.compile(rb"[0-9]")
_DIGITS = re.compile(rb"[0-9]+")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# All up to the first half of a pair of surrogates: text, whole pairs and all other escapes.
_UP_TO_HALF = re.compile(
    rb"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])|\\u[dD][89abAB]..\\u[dD][c-fC-F]..)*+", re.DOTALL
)
_NAME = re.compile(rb'[ \t\r\n,{]*("[^"\\]*(?:\\.[^"\\]*)*")[ \t\r\n]*:[ \t\r\n]*')
_EMPTY_LIST = re.compile(rb"\[[ \t\r\n]*\]")
_NUMBER_GOES_ON = re.compile(rb"[0-9.eE+-]")
# A higher cap than any model's output is how clients say that they want none.
_HIGHEST_CAP = 1_000_000
_MOST_CHOICES = 128  # as OpenAI has it
_MOST_FIELDS = 1000
_MOST_TAGS = 1000  # that are looked at

# Decoders are built once: to say a type with each value costs more than to read the value.
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_WHOLE = msgspec.json.Decoder(int)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Reading:
    """Which top-level fields of a surface's bodies mean what.

    `caps` bound the output; with `writes` False no tokens come out, so none are reserved. `texts` and
    `messages` make up the prompt, `choices`: whether `n` asks for several answers; `prompts`: whether a
    `prompt` may be several, each with its own answers. `pictures`: whether `n` is a number of pictures;
    `spoken`: the field whose characters become speech; `heard`: whether its file is sound.
    `user_in_metadata`: the end user is `metadata.user_id`, not `user`. `usage_option`: a stream tells its
    usage only if asked to. `some`: a list that must not be empty, or "".
    """

    caps: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    choices: bool = False
    prompts: bool = False
    pictures: bool = False
    spoken: str = ""
    heard: bool = False
    writes: bool = True
    user_in_metadata: bool = False
    usage_option: bool = False
    some: str = ""


CHAT = Reading(
    caps=("max_completion_tokens", "max_tokens"),
    texts=("prompt", "tools", "functions", "response_format"),
    messages=("messages", "input"),
    choices=True,
    usage_option=True,
)


class BadCall(Exception):
    """A body that cannot be served; `param` names the field, or None."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True)
class Beside:
    """What is asked for that nobody counts in tokens: pictures, characters to speak, seconds to hear.

    `seconds` as sound of this size has them as a rule, `most_seconds` as hardly any has more.
    """

    pictures: int = 0
    characters: int = 0
    seconds: int = 0
    most_seconds: int = 0


NOTHING_BESIDE = Beside()


def sound_of(size: int) -> Beside:
    """What so many bytes hold: at 128 kbit/s, as sound mostly comes, and at 8, as the densest speech does."""
    return Beside(seconds=-(-size // 16_000), most_seconds=-(-size // 1000))


@dataclass(frozen=True, slots=True)
class Call:
    """A request body: its bytes, the raw JSON of each top-level field, and what routing needs of it.

    `cap` None: none was given, or one that bounds nothing; 0: no tokens come out. `choices`: answers that are
    written, also those that are thrown away. `tags` None: its metadata holds no list of them.
    """

    body: bytes
    fields: Mapping[str, msgspec.Raw]
    model: str
    stream: bool
    wants_usage: bool
    cap: int | None
    choices: int
    prompt: PromptSize
    end_user: str
    tags: tuple[str, ...] | None = None
    beside: Beside = NOTHING_BESIDE

    @property
    def prompt_tokens(self) -> int:
        """An upper bound of the prompt's tokens, of a model that nothing is known of."""
        return calibration.estimate(self.prompt)


def read(body: bytes, reading: Reading = CHAT) -> Call:
    """Read a JSON body. Raises `BadCall` on anything that is not a sound object with a model."""
    fields = _fields(body)
    model = _typed(fields, "model", _STRING_OR_NULL)
    if not model:
        raise BadCall("The field 'model' is missing or empty.", "model")
    stream = bool(_typed(fields, "stream", _BOOL_OR_NULL))
    if reading.some and _EMPTY_LIST.fullmatch(fields.get(reading.some, b"")):
        raise BadCall(
            f"The field '{reading.some}' is an empty list; it must hold at least one item.", reading.some
        )
    return Call(
        body=body,
        fields=fields,
        model=model,
        stream=stream,
        wants_usage=stream and reading.usage_option and _wants_usage(fields),
        cap=_cap(fields, reading.caps) if reading.writes else 0,
        choices=_written(fields, reading) if reading.choices else 1,
        prompt=_prompt_size(fields, reading),
        end_user=_end_user(fields, reading),
        tags=_tags(fields),
        beside=_beside(fields, reading),
    )


def of_form(fields: Mapping[str, str], reading: Reading, size: int) -> Call:
    """The call of a form with these values; its `size` bytes at most are elsewhere. Raises `BadCall`."""
    model = fields.get("model", "")
    if not model:
        raise BadCall("The field 'model' is missing or empty.", "model")
    prompt = len(fields.get("prompt", "").encode())
    beside = sound_of(size) if reading.heard else NOTHING_BESIDE
    if reading.pictures:
        beside = Beside(pictures=_pictures(msgspec.Raw(fields.get("n", "1").encode())))
    return Call(
        body=b"",
        fields={},
        model=model,
        stream=fields.get("stream", "").lower() in ("true", "1"),
        wants_usage=False,
        cap=0,
        choices=1,
        prompt=PromptSize(prompt, 0, 1),
        end_user=fields.get("user", ""),
        beside=beside,
    )


def translated(call: Call, body: bytes) -> Call:
    """The same call with the body that another wire has for it."""
    return replace(call, body=body, fields=_OBJECT.decode(body), tags=None)


def _fields(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        if not body.isascii():
            body.decode()
        fields = _OBJECT.decode(body)
        if _holds_half_a_pair(body):
            raise BadCall("The body is not valid JSON: it holds half a surrogate pair.")
    except msgspec.ValidationError:
        raise BadCall("The body must be a JSON object.") from None
    except RecursionError:
        raise BadCall("The body is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadCall(f"The body is not valid JSON: {error}.") from None
    if len(fields) > _MOST_FIELDS:
        raise BadCall(f"The body has more than {_MOST_FIELDS} fields.")
    for name, raw in fields.items():
        if len(memoryview(raw)) > _LONGEST_NUMBER and bytes(memoryview(raw)[:1]) in b"-0123456789":
            raise BadCall(f"The number in '{name}' is too long.", name)
    if _holds_long_number(body):
        raise BadCall("The body holds a number that is too long.")
    return fields


def _holds_half_a_pair(body: bytes) -> bool:
    # one byte is found far faster than a pattern, and much text has no escapes
    if b"\\" not in body or not _SURROGATE.search(body):
        return False
    whole = _UP_TO_HALF.match(body)
    return whole is None or whole.end() < len(body)


def _holds_long_number(body: bytes) -> bool:
    """Whether a number anywhere has 2000 digits or more; looks closely only at what may be one."""
    step = _LONG_RUN
    digits_at = (found.start() * step for found in _DIGIT.finditer(body[::step]))
    if not any(body[at : at + step].isdigit() for at in digits_at):
        return False
    return any(len(digits) >= 2 * step for digits in _DIGITS.findall(_STRING.sub(b"", body)))


@dataclass(frozen=True, slots=True)
class _Kind[T]:
    """What a field may be, or null, and how people call it."""

    decoder: msgspec.json.Decoder[T | None]
    called: str


_STRING_OR_NULL = _Kind(msgspec.json.Decoder(str | None), "text")
_BOOL_OR_NULL = _Kind(msgspec.json.Decoder(bool | None), "true or false")
_INT_OR_NULL = _Kind(msgspec.json.Decoder(int | None), "a whole number")


def _typed[T](fields: Mapping[str, msgspec.Raw], name: str, kind: _Kind[T]) -> T | None:
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return kind.decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        raise BadCall(f"The field '{name}' must be {kind.called}.", name) from None


def _count(fields: Mapping[str, msgspec.Raw], name: str, otherwise: str) -> int | None:
    """A number from 1 on; `otherwise` tells clients what they get who leave the field out."""
    if name not in fields:
        return None
    try:
        value = _typed(fields, name, _INT_OR_NULL)
    except BadCall:
        value = 0
    if value is not None and value < 1:
        raise BadCall(f"The field '{name}' must be a whole number from 1 on; without it, {otherwise}.", name)
    return value


def _choices(fields: Mapping[str, msgspec.Raw]) -> int:
    choices = _count(fields, "n", "one answer is given") or 1
    if choices > _MOST_CHOICES:
        raise BadCall(f"The field 'n' must be at most {_MOST_CHOICES}; send several requests instead.", "n")
    return choices


def _written(fields: Mapping[str, msgspec.Raw], reading: Reading) -> int:
    """Answers that are written: `best_of` of them where only the best are told, for each of the prompts."""
    choices = _choices(fields)
    if not reading.prompts:
        return choices
    best_of = fields.get("best_of")
    if best_of is not None:
        with suppress(msgspec.DecodeError):  # the provider says itself what it does not take
            choices = max(choices, min(_WHOLE.decode(best_of), _MOST_CHOICES))
    return choices * _prompts(fields.get("prompt"))


def _prompts(prompt: msgspec.Raw | None) -> int:
    """Of texts, or of lists of token ids; a list of ids alone is one prompt."""
    try:
        found = _LIST.decode(prompt or b"")
    except msgspec.DecodeError:
        return 1
    return len(found) if found and bytes(memoryview(found[0])[:1]) in b'"[' else 1


def _beside(fields: Mapping[str, msgspec.Raw], reading: Reading) -> Beside:
    if reading.pictures:
        return Beside(pictures=_pictures(fields.get("n")))
    if reading.spoken:
        return Beside(characters=_characters(fields.get(reading.spoken)))
    return NOTHING_BESIDE


def _characters(text: msgspec.Raw | None) -> int:
    try:
        return len(_TEXT.decode(text or b'""'))
    except msgspec.DecodeError:
        return 0  # the provider says itself what it does not take


def _pictures(count: msgspec.Raw | None) -> int:
    """At least one; the provider says itself how many are too many."""
    try:
        return max(1, min(_WHOLE.decode(count or b"1"), _MOST_CHOICES))
    except msgspec.DecodeError:
        return 1


def _cap(fields: Mapping[str, msgspec.Raw], names: tuple[str, ...]) -> int | None:
    most = 0
    for name in names:
        most = max(most, _count(fields, name, "the model decides") or 0)
    return most if 0 < most <= _HIGHEST_CAP else None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


_OPTIONS_OR_NULL = _Kind(msgspec.json.Decoder(_StreamOptions | None), "an object")


def _wants_usage(fields: Mapping[str, msgspec.Raw]) -> bool:
    options = _typed(fields, "stream_options", _OPTIONS_OR_NULL)
    return bool(options and options.include_usage)


def _end_user(fields: Mapping[str, msgspec.Raw], reading: Reading) -> str:
    if reading.user_in_metadata:
        found = _of_metadata(fields).user_id
        return _person(found) if isinstance(found, str) else ""
    try:
        return _typed(fields, "user", _STRING_OR_NULL) or ""
    except BadCall:
        return ""  # a provider may take other types; it says so itself


class _Session(msgspec.Struct):
    account_uuid: str = ""
    device_id: str = ""


_session = msgspec.json.Decoder(_Session)
_OLDER_SESSION = re.compile(r"(user_[0-9a-f]{16,}_account_[0-9a-f-]*)_session_[0-9a-f-]+")


def _person(user_id: str) -> str:
    """Who stays the same: in Claude Code's the account, or the machine, stands beside the session."""
    if found := _OLDER_SESSION.fullmatch(user_id):
        return found[1]
    if not user_id.startswith("{"):
        return user_id
    try:
        told = _session.decode(user_id)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return user_id
    return told.account_uuid or told.device_id or user_id


class _Metadata(msgspec.Struct):
    tags: Any = None
    user_id: Any = None


_metadata = msgspec.json.Decoder(_Metadata)
_NO_METADATA = _Metadata()


def _of_metadata(fields: Mapping[str, msgspec.Raw]) -> _Metadata:
    raw = fields.get("metadata")
    if raw is None:
        return _NO_METADATA
    try:
        return _metadata.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return _NO_METADATA


def _tags(fields: Mapping[str, msgspec.Raw]) -> tuple[str, ...] | None:
    """A list under `metadata.tags` is for the gateway: providers take only text there."""
    found = _of_metadata(fields).tags
    if not isinstance(found, list):
        return None
    return tuple(tag for tag in found[:_MOST_TAGS] if isinstance(tag, str))


# --- the size of a prompt ----------------------------------------------------------------------

_NOTHING = msgspec.Raw(b"null")


class _Message(msgspec.Struct, gc=False):
    content: msgspec.Raw = _NOTHING


# Skipping what a message says costs half of searching it for words.
_messages_of = msgspec.json.Decoder(list[_Message]).decode
# Where the address or the data of a picture, sound, film or file begins. Quotes inside of a text are escaped,
# so nobody can write this into a prompt to hide it from the count.
_MEDIUM = re.compile(
    rb'"(?:image_url|input_audio|audio_url|video_url|file_url|file_id|file_data|file)"\s*:\s*'
    rb'(?:\{[^{}]{0,500}?"(?:url|data|file_data|file_id)"\s*:\s*)?"'
    rb'|"source"\s*:\s*\{[^{}]{0,500}?"type"\s*:\s*"base64"[^{}]{0,500}?"data"\s*:\s*"'
)


def _prompt_size(fields: Mapping[str, msgspec.Raw], reading: Reading) -> PromptSize:
    text = count = media = 0
    for name in reading.texts:
        if name in fields:
            text += len(memoryview(fields[name]))
    for name in reading.messages:
        if name in fields:
            data = bytes(memoryview(fields[name]))
            messages = _messages(data)
            text += len(data)
            count += len(messages)
            # one byte is found far faster than a word: most prompts hold no media
            if b"_" in data and data.find(b"[", 1) > 0:
                found, media_bytes = _media(messages)
                media += found
                text -= media_bytes
    return PromptSize(text, count, media)


def _messages(data: bytes) -> list[_Message]:
    try:
        return _messages_of(data)
    except msgspec.DecodeError:
        return []  # text or numbers, or what a provider refuses itself


def _media(messages: list[_Message]) -> tuple[int, int]:
    """How many pictures and the like are in them, and how many bytes their addresses or data take."""
    count = size = 0
    for message in messages:
        content, position = bytes(memoryview(message.content)), 0
        if content.startswith(b"[") and b"_" in content:
            while found := _MEDIUM.search(content, position):
                position = content.index(b'"', found.end())
                count += 1
                size += position - found.end()
    return count, size


# --- rewriting ---------------------------------------------------------------------------------


def rewrite(call: Call, edits: Mapping[str, bytes | None]) -> bytes:
    """The body with these top-level fields replaced, added, or (None) left out.

    Every other member keeps its bytes, its place and its doubles.
    """
    members: list[bytes] = []
    for name, member, value_at in _members(call):
        if name not in edits:
            members.append(member)
        elif (value := edits[name]) is not None:
            members.append(member[:value_at] + value)
    for name, value in edits.items():
        if value is not None and name not in call.fields:
            members.append(msgspec.json.encode(name) + b":" + value)
    return b"{" + b",".join(members) + b"}"


def _members(call: Call) -> Iterator[tuple[str, bytes, int]]:
    """Name, text and the offset of the value in it, of each top-level member of a body known to be valid."""
    body, position = call.body, 0
    while found := _NAME.match(body, position):
        name = _TEXT.decode(found.group(1))
        start, end = found.end(), _value_end(body, found.end(), call.fields[name])
        yield name, body[found.start(1) : end], start - found.start(1)
        position = end


def _value_end(body: bytes, start: int, last: msgspec.Raw) -> int:
    """Where the value at `start` ends; `last` is the value its name has at last, most often this one."""
    known = bytes(memoryview(last))
    end = start + len(known)
    if body.startswith(known, start) and not _NUMBER_GOES_ON.match(body, end):
        return end
    return _scan(body, start)


_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]|[^\s"\[\]{},:]+', re.DOTALL)


def _scan(body: bytes, start: int) -> int:
    depth, position = 0, start
    while found := _TOKEN.search(body, position):
        position = found.end()
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(found.group(), 0)
        if depth == 0:
            break
    return position
