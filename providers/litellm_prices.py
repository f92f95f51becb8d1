"""The prices of an entry in a config.yml, under litellm_params or model_info."""

from collections.abc import Mapping

from providers.litellm_records import Desk
from providers.litellm_values import holds_reference
from providers.litellm_yaml import Node
from providers.price_sources import COST_KEYS, is_cost_key, is_read_cost_key, read_costs
from providers.prices import BadPrice, Charges
from providers.spelling import nearest


def read_prices(params: Mapping[str, Node], info: Mapping[str, Node], desk: Desk) -> Charges | None:
    """What the entry's own keys say its deployment costs, or None; litellm_params wins over model_info."""
    mode = info["mode"].value if "mode" in info else ""
    stated = _readable(info, mode, desk)
    winning = _readable(params, mode, desk)
    for key in stated.keys() & winning.keys():
        desk.note(stated[key], "inert", "litellm_params says it already")
    costs = {**stated, **winning}
    for key, node in costs.items():
        _check(key, node)
        desk.note(node, "applied", "a price of this deployment, in dollars")
    return read_costs({key: node.value for key, node in costs.items()}) if costs else None


def _readable(fields: Mapping[str, Node], mode: object, desk: Desk) -> dict[str, Node]:
    """The cost keys that can be read; the others get their verdict."""
    found = {}
    for key, node in fields.items():
        if not is_cost_key(key):
            continue
        if not is_read_cost_key(key, mode):
            if key in COST_KEYS:
                why = f"not read for models of mode {mode or 'chat'}"
            else:
                why = f"this kind of price is not read{nearest(key, COST_KEYS)}"
            desk.cover(node, "unsupported", why)
        elif holds_reference(node):
            desk.note(node, "unsupported", "references are not read here; write the price")
        else:
            found[key] = node
    return found


def _check(key: str, node: Node) -> None:
    try:
        read_costs({key: node.value})
    except BadPrice as error:
        raise node.error(str(error).removeprefix(f"{key}: ")) from None
