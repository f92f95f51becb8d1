"""How a request of one surface reaches a deployment: as it came, or in the words of another surface."""

import time
from collections.abc import Collection
from dataclasses import dataclass

from gateway.surfaces import SURFACES
from gateway.surfaces.base import Surface
from providers.adapters import anthropic
from providers.dialects import CHAT, OPENAIS_OWN, RESPONSES, TRANSLATED, refused_params
from providers.snapshot import Target
from providers.translation import Translation
from providers.translation.chat_to_messages import ChatToMessages
from providers.translation.composed import Composed
from providers.translation.messages_to_chat import MessagesToChat
from providers.translation.responses_to_chat import ResponsesToChat
from usage.ids import uuid7

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
    if name not in TRANSLATED or (name in speech.perhaps and (target.id, name) not in unspoken):
        return Passage(surface, guess=True)
    translation = _translation(name, target, most_output or DEFAULT_OUTPUT)
    return Passage(SURFACES[speech.wire], translation)


def _translation(name: str, target: Target, most_output: int) -> Translation:
    """From the surface of this name to what the deployment speaks; chat is between any two others."""
    if target.speech.wire == CHAT:
        return _to_chat(name, target)
    adaptive = anthropic.thinks_adaptively(target.upstream_model)
    last = ChatToMessages(default_output=most_output, created=int(time.time()), adaptive=adaptive)
    return last if name == CHAT else Composed(_to_chat(name, target), last)


def _to_chat(name: str, target: Target) -> Translation:
    # what an open model thought before, its server takes back; OpenAI's own knows no such field
    keep_thoughts = target.destination.host != OPENAIS_OWN
    untaken = refused_params(target.kind, target.upstream_model) if target.speech.wire == CHAT else ()
    if name == RESPONSES:
        return ResponsesToChat(uuid7().hex, int(time.time()), target.cap_param, keep_thoughts, untaken)
    return MessagesToChat(cap_param=target.cap_param, keep_thoughts=keep_thoughts, untaken=untaken)
