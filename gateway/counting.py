"""How many tokens a prompt of the messages surface has, where no provider of its model counts them."""

import msgspec

from gateway.messages import Reply, json_reply
from gateway.request import Request
from providers.dialects import COUNT_TOKENS
from providers.snapshot import ServedModel


def can_count(model: ServedModel) -> bool:
    """Whether some provider of it does."""
    return any(COUNT_TOKENS in target.speech.native for target in model.targets.values())


def counted_here(request: Request, model: ServedModel) -> Reply:
    """The gateway's own estimate, an upper bound: clients use it to keep below a model's bound."""
    tokens = request.gateway.calibration.estimate(model.name, request.call.prompt)
    return json_reply(200, msgspec.json.encode({"input_tokens": tokens}), request.id)
