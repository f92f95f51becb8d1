"""chat/completions and completions: one form of answers and streams."""

from gateway.answers import estimate_completion, judge, watch
from gateway.calls import CHAT as READ_CHAT
from gateway.calls import Reading
from gateway.framing import PLAIN
from gateway.surfaces.base import Surface

CHAT = Surface("chat/completions", READ_CHAT, judge, estimate_completion, PLAIN, watch)
COMPLETIONS = Surface(
    "completions",
    Reading(caps=("max_tokens",), texts=("prompt", "suffix"), choices=True, prompts=True, usage_option=True),
    judge,
    estimate_completion,
    PLAIN,
    watch,
    cap="max_tokens",
)
