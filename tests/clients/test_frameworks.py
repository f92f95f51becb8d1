"""Frameworks on top of the SDKs: a chat with a tool call in each, whatever the provider behind speaks."""

from collections.abc import AsyncIterator
from typing import Any

import agents
import openai
import pytest
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import SecretStr

from tests.clients.conftest import WIRES, House
from tests.clients.outside import llama_index, node, value

TOLD = {"text": "Sunny in Bern", "asked": ["Bern"]}


# --- LangChain ---------------------------------------------------------------------------------


@tool
def get_weather(city: str) -> str:
    """The weather there."""
    return f"Sunny in {city}"


def langchain(house: House, model: str, responses: bool) -> ChatOpenAI:
    key = SecretStr(house.key)
    return ChatOpenAI(
        model=model, base_url=house.base, api_key=key, use_responses_api=responses, max_retries=0
    )


@pytest.mark.parametrize("responses", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_langchain_calls_a_tool_and_answers(house: House, wire: str, responses: bool, stream: bool) -> None:
    bound = langchain(house, f"{wire}-weather", responses).bind_tools([get_weather])
    messages: list[BaseMessage] = [HumanMessage("Hello")]
    for _ in range(3):
        if stream:
            chunks = list(bound.stream(messages))
            answer: Any = sum(chunks[1:], start=chunks[0])
            assert isinstance(answer, AIMessageChunk)
        else:
            answer = bound.invoke(messages)
        messages.append(answer)
        if not answer.tool_calls:
            break
        for call in answer.tool_calls:
            messages.append(get_weather.invoke(call))
    assert [m.content for m in messages if isinstance(m, ToolMessage)] == ["Sunny in Bern"]
    assert answer.text == "Sunny in Bern"


def test_langchain_embeds(house: House) -> None:
    key = SecretStr(house.key)
    embeddings = OpenAIEmbeddings(
        model="chat-plain", base_url=house.base, api_key=key, check_embedding_ctx_length=False
    )
    assert embeddings.embed_documents(["a", "b"]) == [[0.25, -0.5, 0.0], [0.25, -0.5, 1.0]]


# --- OpenAI's agents ---------------------------------------------------------------------------


@pytest.fixture
async def client(house: House) -> AsyncIterator[openai.AsyncOpenAI]:
    agents.set_tracing_disabled(True)  # it would send what happened to OpenAI
    async with openai.AsyncOpenAI(base_url=house.base, api_key=house.key, max_retries=0) as made:
        yield made


@pytest.mark.parametrize("kind", [agents.OpenAIResponsesModel, agents.OpenAIChatCompletionsModel])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_agent_calls_a_tool_and_answers(
    client: openai.AsyncOpenAI, wire: str, kind: Any, stream: bool
) -> None:
    asked: list[str] = []

    @agents.function_tool
    def get_weather(city: str) -> str:
        """The weather there."""
        asked.append(city)
        return f"Sunny in {city}"

    model = kind(f"{wire}-weather", client)
    agent = agents.Agent(name="Ada", instructions="Be kind.", tools=[get_weather], model=model)
    if stream:
        streamed = agents.Runner.run_streamed(agent, "Hello")
        async for _ in streamed.stream_events():
            pass
        text = streamed.final_output
    else:
        text = (await agents.Runner.run(agent, "Hello")).final_output
    assert {"text": text, "asked": asked} == TOLD


# --- Vercel's AI SDK ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vercel(house: House) -> dict[str, Any]:
    return house.run(node(), "vercel.mjs", wires=list(WIRES))


@pytest.mark.parametrize("surface", ["chat", "responses"])
def test_vercels_sdk_calls_a_tool_and_answers(vercel: dict[str, Any], wire: str, surface: str) -> None:
    assert value(vercel, f"{wire}: {surface} whole") == TOLD | {"steps": 2}
    assert value(vercel, f"{wire}: {surface} stream") == TOLD | {"steps": 2, "errors": []}


# --- LlamaIndex --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def llama(house: House) -> dict[str, Any]:
    return house.run(llama_index(), "with_llama_index.py", wires=list(WIRES))


def test_llama_index_chats_and_streams(llama: dict[str, Any], wire: str) -> None:
    assert value(llama, f"{wire}: chat") == "Hello wörld"
    assert value(llama, f"{wire}: stream") == ["Hel", "lo ", "wörld"]


def test_llama_index_calls_a_tool_and_answers(llama: dict[str, Any], wire: str) -> None:
    assert value(llama, f"{wire}: tools") == TOLD
