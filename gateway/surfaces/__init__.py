"""Every surface, by its endpoint."""

from collections.abc import Mapping
from types import MappingProxyType

from gateway.surfaces import chat, kept, lists, messages, responses, sound
from gateway.surfaces.base import Surface

_ALL = (
    chat.CHAT,
    chat.COMPLETIONS,
    responses.RESPONSES,
    messages.MESSAGES,
    messages.COUNT_TOKENS,
    lists.EMBEDDINGS,
    lists.MODERATIONS,
    lists.RERANK,
    lists.IMAGES,
    lists.IMAGE_EDITS,
    lists.IMAGE_VARIATIONS,
    sound.SPEECH,
    sound.TRANSCRIPTIONS,
    sound.TRANSLATIONS,
)
# What is said of files and batches, which no model answers.
KEPT = (kept.FILES, kept.FILE, kept.CONTENT, kept.BATCHES, kept.BATCH, kept.CANCEL)
SURFACES: Mapping[str, Surface] = MappingProxyType({surface.name: surface for surface in _ALL})
# Their files come as forms, and pass on as they come.
FORMS = frozenset(
    {"audio/transcriptions", "audio/translations", "images/edits", "images/variations", "files"}
)
CHAT = chat.CHAT
