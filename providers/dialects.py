"""What each kind of provider speaks: its address, how it takes the key, which surfaces it serves itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from providers.adapters import anthropic, openai

CHAT, RESPONSES, MESSAGES = "chat/completions", "responses", "messages"
COUNT_TOKENS = "messages/count_tokens"
# Any deployment can be asked for these, if need be in the words of another one.
TRANSLATED = frozenset({CHAT, RESPONSES, MESSAGES, COUNT_TOKENS})
# Kind -> public base URL; None: the operator's own server, an address must be given.
KINDS: Mapping[str, str | None] = {**openai.KINDS, **anthropic.KINDS}
# What operators may say that a server of the OpenAI wire speaks beside chat.
OPTIONAL = (RESPONSES, MESSAGES)
OPENAIS_OWN = "api.openai.com"
# Servers that run on any machine, in versions that speak responses and in versions that do not.
_MAY_SPEAK_RESPONSES = frozenset(
    {
        "openai",
        "custom_openai",
        "openai_like",
        "hosted_vllm",
        "vllm",
        "litellm_proxy",
        "lm_studio",
        "llamafile",
        "ollama",
        "ollama_chat",
    }
)


@dataclass(frozen=True, slots=True)
class Speech:
    """What a deployment is spoken to in.

    `native`: surfaces of `TRANSLATED` that it serves itself; `perhaps`: those that it is asked for until it
    says that it has none; `others`: whether all further surfaces pass on to it.
    """

    native: frozenset[str]
    perhaps: frozenset[str] = frozenset()
    others: bool = True

    @property
    def wire(self) -> str:
        """What it is asked in for a surface that it does not serve."""
        return CHAT if CHAT in self.native else MESSAGES


_ANTHROPIC = Speech(frozenset({MESSAGES, COUNT_TOKENS}), others=False)
OPENAI = Speech(frozenset({CHAT}))


def speech_of(kind: str, host: str, said: list[str] | None) -> Speech:
    """What a provider of this kind at this host speaks; `said`: what its operator knows of it, or None."""
    if kind in anthropic.KINDS:
        return _ANTHROPIC
    if said is None:
        if kind == "openai" and (host == OPENAIS_OWN or host.endswith(".openai.azure.com")):
            return Speech(frozenset({CHAT, RESPONSES}))
        return Speech(frozenset({CHAT}), frozenset({RESPONSES} if kind in _MAY_SPEAK_RESPONSES else ()))
    native = {CHAT, *said}
    if MESSAGES in native:
        native.add(COUNT_TOKENS)
    return Speech(frozenset(native))


def key_headers(kind: str, secret: str) -> dict[str, str]:
    """The headers that carry the API key."""
    return {"x-api-key": secret} if kind in anthropic.KINDS else {"authorization": f"Bearer {secret}"}


def refused_params(kind: str, upstream_model: str) -> frozenset[str]:
    """Request parameters that this provider answers with an error."""
    if kind in anthropic.KINDS:
        return anthropic.refused_params(kind, upstream_model)
    return openai.refused_params(kind, upstream_model)


def cap_param(kind: str, upstream_model: str) -> str:
    """The parameter that caps the output of this model."""
    return "max_tokens" if kind in anthropic.KINDS else openai.cap_param(kind, upstream_model)
