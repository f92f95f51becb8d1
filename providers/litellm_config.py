"""A LiteLLM config.yml: its text becomes records, and every key of it gets a verdict."""

from collections.abc import Mapping

from providers.litellm_budgets import (
    limits_of_everyone,
    parallel_limit,
    warn_of_missing_prices,
)
from providers.litellm_defaults import params_of_everyone
from providers.litellm_fallbacks import read_fallbacks
from providers.litellm_keys import read_keys
from providers.litellm_models import Catalogue, Defaults, read_model_list
from providers.litellm_records import Config, Desk, Surroundings
from providers.litellm_reliability import Sections, read_for_all, with_reliability
from providers.litellm_routing import with_routing
from providers.litellm_sections import ALWAYS, APPLIED, INERT, NEVER, UNSUPPORTED
from providers.litellm_values import (
    flag_of,
    integer_of,
    is_unread,
    mapping_of,
    text_of,
)
from providers.litellm_yaml import ConfigError, Node, load
from providers.spelling import nearest

__all__ = ["ConfigError", "read"]


def read(text: str, file: str, surroundings: Surroundings) -> Config:
    """Read a file and what it includes. Raises `ConfigError` with file, line and key."""
    desk = Desk(surroundings)
    root = load(text, file)
    roots = [root]
    top = _with_included(root, roots, desk)
    _note_sections(top, desk)
    settings = _section(top, "general_settings", desk)
    both = Sections(_section(top, "router_settings", desk), _section(top, "litellm_settings", desk))
    defaults = _defaults(settings, both, desk)
    catalogue = _catalogue(top.get("model_list"), defaults, desk)
    models = with_routing(catalogue.models, both.router, desk)
    by_group = both.router.get("model_group_retry_policy")
    models = with_reliability(models, defaults.for_all, by_group, desk)
    of_everyone = limits_of_everyone(both.litellm, desk)
    keys = read_keys(settings, desk)
    budgets = [*of_everyone, *keys.costs]
    if budgets:
        of = len(catalogue.deployments)
        warn_of_missing_prices(budgets[0], of - len(catalogue.prices), of, desk)
    parallel = settings.get("global_max_parallel_requests")
    together = parallel_limit(parallel, desk) if parallel else None
    return Config(
        providers=tuple(catalogue.providers.values()),
        models=tuple(models.values()),
        deployments=tuple(catalogue.deployments.values()),
        fallbacks=read_fallbacks(both, models, catalogue.fallbacks, desk),
        prices=tuple(catalogue.prices),
        keys=tuple(keys.keys.values()),
        limits=(
            *catalogue.limits,
            *of_everyone.values(),
            *([together] if together else []),
            *keys.limits.values(),
        ),
        verdicts=desk.verdicts(roots),
        resolved=desk.resolved,
    )


def _with_included(root: Node, roots: list[Node], desk: Desk) -> dict[str, Node]:
    """The top-level keys, with included files' lists added and their other values in front."""
    top = dict(mapping_of(root))
    include = top.pop("include", None)
    if include is None or include.value is None:
        if include is not None:
            desk.note(include, "inert", "has no value")
        return top
    names = include.value if isinstance(include.value, list) else [include]
    desk.note(include, "applied")
    for node in names:
        name = text_of(node, 1000)
        try:
            text = desk.surroundings.read_included(name)
        except OSError as error:
            raise node.error(f"{name}: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise node.error(f"{name}: not UTF-8 text") from None
        included = load(text, name, prefix=f"{name}:")
        roots.append(included)
        _overlay(top, included, desk)
    return top


def _overlay(top: dict[str, Node], included: Node, desk: Desk) -> None:
    for name, node in mapping_of(included).items():
        mine = top.get(name)
        if name == "include":
            desk.cover(node, "inert", "the include of an included file is not read")
        elif mine is not None and isinstance(mine.value, list) and isinstance(node.value, list):
            _extend(top, name, node, desk)
        else:
            if mine is not None:
                desk.cover(mine, "inert", f"overwritten by the included {included.file}")
            top[name] = node


def _extend(top: dict[str, Node], name: str, more: Node, desk: Desk) -> None:
    mine = top[name]
    if name != "model_list":
        _note_from_tables("", name, more, desk)
        return
    assert isinstance(mine.value, list)  # the caller extends lists
    assert isinstance(more.value, list)  # the caller extends lists
    for node in (mine, more):
        desk.note(node, "applied", "models and deployments, one list with the included files'")
    top["model_list"] = Node(mine.file, mine.path, mine.shown, mine.line, [*mine.value, *more.value])


def _note_sections(top: Mapping[str, Node], desk: Desk) -> None:
    """Give every key outside model_list the verdict of the tables."""
    for name, node in top.items():
        if name in APPLIED[""]:
            if node.value is None:
                desk.note(node, "inert", "has no value")
            continue
        _note_from_tables("", name, node, desk)
        if name in APPLIED and isinstance(node.value, dict):
            for key, below in node.value.items():
                _note_from_tables(name, key, below, desk)


def _note_from_tables(section: str, name: str, node: Node, desk: Desk) -> None:
    if node.value is None:
        desk.note(node, "inert", "has no value")
    elif name in INERT[section]:
        hint = INERT[section][name]
        desk.cover(node, "inert", f"LiteLLM never reads it{'; ' if hint else ''}{hint}")
    elif instead := UNSUPPORTED[section].get(name):
        desk.cover(node, "unsupported", instead)
    elif told := ALWAYS.get(section, {}).get(name):
        _note_switch(node, True, told, desk)
    elif told := NEVER.get(section, {}).get(name):
        _note_switch(node, False, told, desk)
    elif not section and name.startswith(("x-", "_", ".")):
        desk.cover(node, "inert", "a place for YAML anchors")
    else:
        known = UNSUPPORTED[section].keys() | INERT[section].keys() | APPLIED[section]
        known |= ALWAYS.get(section, {}).keys() | NEVER.get(section, {}).keys()
        desk.cover(node, "unsupported", f"not a known key{nearest(name, known)}")


def _note_switch(node: Node, here: bool, told: str, desk: Desk) -> None:
    """The verdict on a setting that is always on, or always off, here."""
    if is_unread(node, desk):
        return
    if flag_of(node) == here:
        desk.note(node, "applied", f"always so here: {told}" if here else "off here too")
    else:
        desk.note(node, "unsupported", f"cannot be off here: {told}" if here else told)


def _section(top: Mapping[str, Node], section: str, desk: Desk) -> dict[str, Node]:
    """The keys of a section that have a value; those that are not applied here are noted."""
    node = top.get(section)
    if node is None or node.value is None:
        return {}
    settings = mapping_of(node)
    for name, below in settings.items():
        if name not in APPLIED[section] or below.value is None:
            _note_from_tables(section, name, below, desk)
    found = {name: below for name, below in settings.items() if below.value is not None}
    any_applied = section == "general_settings" or not APPLIED[section].isdisjoint(found)
    desk.note(node, "applied" if any_applied else "unsupported", "see each of its keys")
    return found


def _defaults(settings: Mapping[str, Node], both: Sections, desk: Desk) -> Defaults:
    return Defaults(
        _drop_params(settings.get("drop_params"), both.litellm.get("drop_params"), desk),
        _max_parallel_requests(settings, both, desk),
        params_of_everyone(both.router.get("default_litellm_params"), desk),
        _is_on(both.router.get("enable_tag_filtering"), desk),
        read_for_all(both, desk),
    )


def _is_on(node: Node | None, desk: Desk) -> bool:
    """`enable_tag_filtering`."""
    if node is None or is_unread(node, desk):
        return False
    on = flag_of(node)
    desk.note(node, "applied", "tags of entries decide whom a request reaches" if on else "tags are not read")
    return on


def _drop_params(general: Node | None, litellm: Node | None, desk: Desk) -> bool:
    """Whether entries that do not say leave out what their provider does not take."""
    told = "applied to every entry that does not say otherwise"
    if general is not None:
        desk.note(general, "changed", f"LiteLLM never reads it here; {told}")
    if litellm is not None and not is_unread(litellm, desk):
        desk.note(litellm, "applied", told)
        return flag_of(litellm) or (general is not None and flag_of(general))
    return general is not None and flag_of(general)


def _max_parallel_requests(settings: Mapping[str, Node], both: Sections, desk: Desk) -> int | None:
    """The slots of entries that do not say; either section may, the router's first."""
    general, router = settings.get("max_parallel_requests"), both.router.get("default_max_parallel_requests")
    if general is not None and router is not None:
        desk.note(general, "inert", f"{router.shown} says it already")
    node = router or general
    if node is None or is_unread(node, desk):
        return None
    most = integer_of(node, 1)
    desk.note(
        node,
        "changed",
        f"{most} for each entry without one, over all workers together; per process in LiteLLM",
    )
    return most


def _catalogue(models: Node | None, defaults: Defaults, desk: Desk) -> Catalogue:
    if models is None or models.value is None:
        return Catalogue()
    desk.note(models, "applied", "models and deployments")
    return read_model_list(models, defaults, desk)
