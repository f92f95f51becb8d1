"""What the OpenAI SDK makes of the gateway: answers it can read, errors it knows."""

from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.gateway_process import Gateway
from tests.path.client import Client
from tests.upstream import Behaviour, Upstream

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]


def sdk(gateway: Gateway, key: str, path: str = "/v1", retries: int = 0) -> openai.OpenAI:
    base = f"http://127.0.0.1:{gateway.port}{path}"
    return openai.OpenAI(base_url=base, api_key=key, max_retries=retries, timeout=20)


@pytest.fixture
def client(gateway: Gateway, alice: Client) -> Iterator[openai.OpenAI]:
    with sdk(gateway, alice.key) as made:
        yield made


def test_it_lists_and_fetches_models(client: openai.OpenAI) -> None:
    assert "vendor/family:7b" in [model.id for model in client.models.list()]
    assert client.models.retrieve("vendor/family:7b").id == "vendor/family:7b"


@pytest.mark.parametrize("path", ["/v1", "", "/v1/"])
def test_it_chats_with_and_without_v1(gateway: Gateway, alice: Client, path: str) -> None:
    with sdk(gateway, alice.key, path) as client:
        answer = client.chat.completions.create(model="ok", messages=HELLO)
    assert answer.choices[0].message.content == "w0 w1 w2 "
    assert answer.usage is not None
    assert answer.usage.total_tokens == 10


def test_it_streams(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="ok", messages=HELLO, stream=True)
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "w0 w1 w2 "
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_it_streams_usage_when_asked(client: openai.OpenAI) -> None:
    options = {"include_usage": True}
    stream = client.chat.completions.create(
        model="ok",
        messages=HELLO,
        stream=True,
        stream_options=options,  # type: ignore[call-overload]
    )
    last = list(stream)[-1]
    assert last.choices == []
    assert last.usage.completion_tokens == 3


def test_a_wrong_key_is_its_authentication_error(gateway: Gateway) -> None:
    with sdk(gateway, "sk-wrong") as client, pytest.raises(openai.AuthenticationError) as caught:
        client.models.list()
    assert caught.value.code == "invalid_api_key"


def test_an_unknown_model_is_its_not_found_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="nope", messages=HELLO)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_a_limit_is_its_rate_limit_error(gateway: Gateway, model: str) -> None:
    key = gateway.create_key(f"bob-{model}", "--limit", "requests=0/minute")
    with sdk(gateway, key) as client, pytest.raises(openai.RateLimitError, match="minute"):
        client.chat.completions.create(model="ok", messages=HELLO)


def test_it_waits_as_told_and_then_succeeds(gateway: Gateway, model: str) -> None:
    key = gateway.create_key(f"bob-{model}", "--limit", "requests=1/second")
    with sdk(gateway, key, retries=2) as client:
        for _ in range(3):
            client.chat.completions.create(model="ok", messages=HELLO)


def test_a_bad_request_is_its_bad_request_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="ok", messages=HELLO, max_tokens=-1)
    assert caught.value.param == "max_tokens"


@pytest.mark.parametrize("model", ["resets-midway", "cut-midway", "stops-midway", "hangs-midway"])
def test_a_broken_stream_raises_instead_of_ending(client: openai.OpenAI, model: str) -> None:
    stream = client.chat.completions.create(model=model, messages=HELLO, stream=True)
    with pytest.raises(openai.APIError):
        list(stream)


def test_leaving_a_stream_early_leaves_the_provider_too(
    client: openai.OpenAI, upstream: Upstream, model: str
) -> None:
    upstream.behave(Behaviour(tokens=1000, delay=0.02), model=model)
    stream = client.chat.completions.create(model=model, messages=HELLO, stream=True)
    for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    stream.close()
    [seen] = upstream.wait(lambda log: log[0].closed is not None, model, seconds=2)
    assert seen.ended == "client left"


async def test_the_async_client_streams_too(gateway: Gateway, alice: Client) -> None:
    base = f"http://127.0.0.1:{gateway.port}/v1"
    async with openai.AsyncOpenAI(base_url=base, api_key=alice.key, max_retries=0) as client:
        stream = await client.chat.completions.create(model="ok", messages=HELLO, stream=True)
        texts = [chunk.choices[0].delta.content async for chunk in stream]
    assert "".join(text or "" for text in texts) == "w0 w1 w2 "
