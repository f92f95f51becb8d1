"""One gateway and one provider for all clients, with a model for each way of answering in each wire."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.clients.outside import Outside
from tests.gateway_process import Gateway
from tests.upstream import Behaviour, Upstream, error

# What a provider is spoken to in, and how a config file says so.
WIRES: dict[str, tuple[str, list[str] | None]] = {
    "chat": ("openai", []),
    "responses": ("openai", ["responses"]),
    "messages": ("anthropic", None),
}
FULL: dict[str, Any] = {
    "message": "This model's maximum context length is 8192 tokens.",
    "type": "invalid_request_error",
    "param": "messages",
    "code": "context_length_exceeded",
}
# What a model does whose name ends in this.
BEHAVIOURS: dict[str, tuple[Behaviour, ...]] = {
    "plain": (Behaviour(texts=["Hel", "lo ", "wörld"]),),
    "weather": (Behaviour(texts=["Sunny", " in Bern"], tools={"get_weather": {"city": "Bern"}}),),
    "two-tools": (
        Behaviour(texts=["Done"], tools={"get_weather": {"city": "Bern"}, "get_time": {"zone": "UTC"}}),
    ),
    "thinks": (Behaviour(texts=["Four"], thought="Two and two."),),
    "parsed": (Behaviour(texts=['{"city": "Bern",', ' "degrees": 21}']),),
    "long": (Behaviour(finish="length"),),
    "too-full": (error(400, {"error": FULL}),),
    "breaks": (Behaviour(tokens=9, fault="close", fault_after=5),),
}
# At the first requests; each is used up, and so is of one client alone.
FLAKY = ("python", "async", "node", "anthropic", "anthropic-node")


def names_of(wire: str) -> list[str]:
    return [f"{wire}-{case}" for case in (*BEHAVIOURS, *(f"flaky-{who}" for who in FLAKY))]


def spoken(wire: str, *native: str) -> str:
    """The route at this provider: of its own wire if that is one of `native`, else chat."""
    return f"POST {wire}" if wire in native else "POST chat/completions"


def config() -> str:
    """The text of a config.yml with all of these."""
    entries = []
    for wire, (kind, speaks) in WIRES.items():
        for name in names_of(wire):
            info = {} if speaks is None else {"switchyard_also_speaks": speaks}
            params = {"model": f"{kind}/{name}", "api_base": "BASE", "api_key": f"sk-{wire}"}
            entries.append({"model_name": name, "litellm_params": params, "model_info": info})
    return json.dumps({"model_list": entries})


@dataclass(frozen=True)
class House:
    """A running gateway with the provider behind it, Alice's key, and one that may ask for nothing."""

    gateway: Gateway
    upstream: Upstream
    key: str
    limited: str

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}"

    @property
    def base(self) -> str:
        return f"{self.root}/v1"

    def run(self, outside: Outside, program: str, **more: Any) -> dict[str, Any]:
        """What this program's cases say, each with the gateway's address and key."""
        return outside.run(
            program, {"root": self.root, "base": self.base, "key": self.key, "limited": self.limited, **more}
        )


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    with Upstream("a") as upstream, Gateway(config().replace("BASE", upstream.url)) as gateway:
        for wire in WIRES:
            for case, behaviours in BEHAVIOURS.items():
                upstream.behave(*behaviours, model=f"{wire}-{case}")
            for who in FLAKY:
                upstream.behave(error(503), Behaviour(texts=["again"]), model=f"{wire}-flaky-{who}")
        limited = gateway.create_key("bob", "--limit", "requests=0/minute")
        yield House(gateway, upstream, gateway.create_key("alice"), limited)


@pytest.fixture
def upstream(house: House) -> Upstream:
    return house.upstream


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> str:
    """What the provider speaks: a translation stands between where that is not what the client speaks."""
    return str(request.param)
