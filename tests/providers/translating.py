"""What the tests of translations share: bodies in and out, and streams put together by the real SDKs."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from providers.translation import StreamTranslation, Translation
from providers.translation.chat_to_messages import ChatToMessages
from providers.translation.messages_to_chat import MessagesToChat

type Json = dict[str, Any]

NOW = 1_790_000_000
_EVENT: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)
_TO_MESSAGES = TypeAdapter(MessageCreateParamsNonStreaming)
_TO_CHAT = TypeAdapter(CompletionCreateParamsNonStreaming)


def to_messages(*, adaptive: bool = False) -> ChatToMessages:
    return ChatToMessages(default_output=4096, created=NOW, adaptive=adaptive)


def to_chat(*, keep_thoughts: bool = False) -> MessagesToChat:
    return MessagesToChat(keep_thoughts=keep_thoughts)


def request(translation: Translation, body: Json, *, drop: bool = False) -> Json:
    made = json.loads(translation.request(json.dumps(body).encode(), drop=drop))
    assert isinstance(made, dict)
    return made


def answer(translation: Translation, body: Json) -> Json:
    made = json.loads(translation.answer(json.dumps(body).encode()))
    assert isinstance(made, dict)
    return made


def streamed(stream: StreamTranslation, events: Iterable[Json]) -> list[Json]:
    """All that the client is told."""
    told = [data for event in events for data in stream.feed(json.dumps(event).encode())]
    return [json.loads(data) for data in [*told, *stream.end()]]


def completion(chunks: list[Json]) -> Json:
    """Chunks put together by OpenAI's SDK, which checks each."""
    state: ChatCompletionStreamState[Any] = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    return state.current_completion_snapshot.model_dump(exclude_none=True, warnings=False)


def message(events: list[Json]) -> Json:
    """Events put together by Anthropic's SDK, which checks each."""
    snapshot, buffers = None, dict[int, bytes]()
    for event in events:
        checked = _EVENT.validate_python(event)
        snapshot = accumulate_event(event=checked, current_snapshot=snapshot, json_bufs=buffers)
    assert snapshot is not None
    return snapshot.model_dump(exclude_none=True, warnings=False)


def sound_completion(body: Json) -> Json:
    """The answer, once OpenAI's SDK has found it sound."""
    ChatCompletion.model_validate(body, strict=True)
    return body


def sound_message(body: Json) -> Json:
    """The answer, once Anthropic's SDK has found it sound."""
    Message.model_validate(body, strict=True)
    return body


def check_messages_request(body: Json) -> None:
    """Raise unless the types of Anthropic's SDK take this request."""
    _drain(_TO_MESSAGES.validate_python({**body, "stream": False}))


def check_chat_request(body: Json) -> None:
    """Raise unless the types of OpenAI's SDK take this request."""
    _drain(_TO_CHAT.validate_python({**body, "stream": False}))


def _drain(value: object) -> None:
    """Lists are checked only while they are read."""
    match value:
        case dict():
            for each in value.values():
                _drain(each)
        case Iterator() | list():
            for each in value:
                _drain(each)
