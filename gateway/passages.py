"""How a request of one surface reaches a deployment: as it came, or in the words of another surface."""

import time
from collections.abc import Collection
from dataclasses import dataclass

from gateway.surfaces import SURFACES
from gateway.surfaces.base import Surface
from providers.adapters import anthropic
from providers.dialects import CHAT, OPENAIS_OWN, RESPONSES, TRANSLATED
from providers.snapshot import Target
from providers.translation import Translation
from providers.translation.chat_to_messages import ChatToMessages
from providers.translation.messages_to_chat import MessagesToChat

# What an answer may have where its client named no bound and the wire wants one.
DEFAULT_OUTPUT = 4096


@dataclass(frozen=True, slots=True)
class Passage:
    """`wire`: what the provider is asked in; `translation` None: the client's own words.

    `guess`: the provider may turn out not to serve that surface and is then asked in other words.
    """

    wire: Surface
    translation: Translation | None = None
    guess: bool = False


def passage(
    surface: Surface, target: Target, most_output: int | None, unspoken: Collection[tuple[int, str]]
) -> Passage:
    """The way to this deployment; `unspoken`: surfaces that deployments turned out not to serve."""
    name, speech = surface.name, target.speech
    if name in speech.native:
        return Passage(surface)
    if (
        name not in TRANSLATED
        or name == RESPONSES
        or (name in speech.perhaps and (target.id, name) not in unspoken)
    ):
        return Passage(surface, guess=True)
    return Passage(SURFACES[speech.wire], _translation(target, most_output or DEFAULT_OUTPUT))


def _translation(target: Target, most_output: int) -> Translation:
    if target.speech.wire == CHAT:
        # what an open model thought before, its server takes back; OpenAI's own knows no such field
        keep_thoughts = target.destination.host != OPENAIS_OWN
        return MessagesToChat(cap_param=target.cap_param, keep_thoughts=keep_thoughts)
    adaptive = anthropic.thinks_adaptively(target.upstream_model)
    return ChatToMessages(default_output=most_output, created=int(time.time()), adaptive=adaptive)
