"""Which share of a model's requests each of its entries gets, by LiteLLM's rules and ours."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from providers.litellm_records import Desk
from providers.litellm_values import LARGEST_INTEGER, REFERENCE_NOTE
from providers.litellm_yaml import Node


@dataclass(frozen=True, slots=True)
class Claim:
    """What one entry says about its share; `body` is its litellm_params."""

    body: Node
    nodes: Mapping[str, Node]
    weight: Fraction | None = None
    rpm: Fraction | None = None
    tpm: Fraction | None = None
    order: int | None = None


def _whole(shares: Sequence[Fraction], smallest: bool) -> list[int]:
    """The same shares as integers; `smallest` also takes out what they have in common."""
    factor = math.lcm(*(share.denominator for share in shares))
    numbers = [int(share * factor) for share in shares]
    common = math.gcd(*numbers) if smallest or max(numbers) > LARGEST_INTEGER else 1
    numbers = [number // (common or 1) for number in numbers]
    if max(numbers) > LARGEST_INTEGER:
        scale = Fraction(1_000_000, max(numbers))
        numbers = [max(1, round(number * scale)) if number else 0 for number in numbers]
    return numbers


def settle_shares(claims: Sequence[Claim], desk: Desk) -> list[int]:
    """The weight of each entry of one model; notes weight, and rpm and tpm where they set it."""
    _note_unread(claims, desk)
    if any(claim.weight is not None for claim in claims):
        return _by_weight(claims, desk)
    amounts_by_name = {"rpm": [c.rpm for c in claims], "tpm": [c.tpm for c in claims]}
    for name, given in amounts_by_name.items():
        amounts = [amount for amount in given if amount is not None]
        if len(amounts) == len(claims) and any(amounts):
            weights = _whole(amounts, smallest=True)
            for claim, weight in zip(claims, weights, strict=True):
                desk.more(claim.nodes[name], "changed", f"sets the share too (weight {weight})")
            return weights
    return [1] * len(claims)


def _note_unread(claims: Sequence[Claim], desk: Desk) -> None:
    for claim in claims:
        for name in ("weight", "order"):
            if node := claim.nodes.get(name):
                desk.note(node, "unsupported", REFERENCE_NOTE)


def _by_weight(claims: Sequence[Claim], desk: Desk) -> list[int]:
    shares = [Fraction(1) if claim.weight is None else claim.weight for claim in claims]
    weights = _whole(shares, smallest=False)
    for claim, share, weight in zip(claims, shares, weights, strict=True):
        if claim.weight is None:
            desk.add(
                claim.body,
                "changed",
                "no weight beside entries that have one: LiteLLM sends it nothing, here it is 1",
            )
            continue
        standby = "standby: asked when no other can answer"
        scaled = f"share {weight}" if weight == share else f"share {weight}: the same shares as whole numbers"
        desk.note(claim.nodes["weight"], "applied", scaled if weight else standby)
    return weights


def settle_priorities(claims: Sequence[Claim], desk: Desk) -> list[int]:
    """The priority of each entry: its order; without one it comes after those that have one."""
    orders = [claim.order for claim in claims if claim.order is not None]
    for claim in claims:
        if claim.order is not None:
            desk.note(claim.nodes["order"], "applied", "priority: the lowest is asked first")
        elif orders:
            desk.add(claim.body, "changed", "no order beside entries that have one: asked after them")
    return [max(orders, default=-1) + 1 if claim.order is None else claim.order for claim in claims]
