"""LlamaIndex at a gateway, in a Python of its own: prints what each case came to, as JSON.

It does not stand in our own environment because it wants an older openai.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

GIVEN: dict[str, Any] = json.load(sys.stdin)
HELLO = [ChatMessage(role="user", content="Hello")]


def llm(model: str) -> Any:
    base = {"api_base": GIVEN["base"], "api_key": GIVEN["key"], "max_retries": 0}
    return OpenAILike(model=model, is_chat_model=True, is_function_calling_model=True, **base)


def chat(wire: str) -> Any:
    return llm(f"{wire}-plain").chat(HELLO).message.content


def stream(wire: str) -> Any:
    return [piece.delta for piece in llm(f"{wire}-plain").stream_chat(HELLO) if piece.delta]


def tools(wire: str) -> Any:
    """An agent that streams calls until it has its answer."""
    asked: list[str] = []

    def get_weather(city: str) -> str:
        """The weather there."""
        asked.append(city)
        return f"Sunny in {city}"

    async def ask() -> str:
        agent = FunctionAgent(tools=[get_weather], llm=llm(f"{wire}-weather"))
        return str(await agent.run("Hello"))

    return {"text": asyncio.run(ask()), "asked": asked}


def came_to(case: Callable[[str], Any], wire: str) -> dict[str, Any]:
    try:
        return {"value": case(wire)}
    except Exception as error:  # noqa: BLE001 - the test tells it
        return {"error": f"{type(error).__name__}: {error}"}


print(
    json.dumps({f"{w}: {c.__name__}": came_to(c, w) for w in GIVEN["wires"] for c in (chat, stream, tools)})
)
