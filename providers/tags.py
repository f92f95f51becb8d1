"""Tags: which deployments a request with some of them may be sent to."""

from collections.abc import Collection, Iterable, Mapping
from itertools import islice

DEFAULT = "default"
LONGEST_TAG = 100
MOST_TAGS = 50
_MOST_LOOKED_AT = 1000
NONE: frozenset[str] = frozenset()


def problem_of_tags(tags: object) -> str:
    """What is wrong with a list of tags, or ""."""
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        return 'This is a list of names, such as ["paid"].'
    if len(tags) > MOST_TAGS:
        return f"At most {MOST_TAGS} tags."
    for tag in tags:
        if not is_tag(tag):
            return (
                f"'{tag[:40]}' is no tag: {LONGEST_TAG} characters at most, no commas or spaces at its ends."
            )
    return ""


def is_tag(text: str) -> bool:
    return (
        bool(text)
        and text == text.strip()
        and "," not in text
        and text.isprintable()
        and len(text) <= LONGEST_TAG
    )


def clean(texts: Iterable[str]) -> frozenset[str]:
    """The tags among what a client sent; what is none is left out, and so are those beyond the most.

    A body holds millions of texts, and all other requests would wait for their end.
    """
    looked_at = islice(texts, _MOST_LOOKED_AT)
    return frozenset(islice((tag for text in looked_at if is_tag(tag := text.strip())), MOST_TAGS))


def passed_over(tags_of: Mapping[int, frozenset[str]], tags: Collection[str]) -> set[int]:
    """Which deployments may not answer a request with these tags.

    None has tags: all may. Else those that share one with the request; if none does, those tagged `default`;
    and where nobody is, a request without tags goes to any, one with tags to nobody.
    """
    if not any(tags_of.values()):
        return set()
    wanted = set(tags)
    fitting = {id for id, own in tags_of.items() if own & wanted}
    fitting = fitting or {id for id, own in tags_of.items() if DEFAULT in own}
    if not fitting and not wanted:
        return set()
    return tags_of.keys() - fitting
