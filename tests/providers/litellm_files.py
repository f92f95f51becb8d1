"""Reading config files in tests: surroundings without a machine."""

from collections.abc import Mapping

from providers.litellm_config import read
from providers.litellm_records import Config, Surroundings, Verdict
from providers.litellm_yaml import ConfigError

ALLOWED = ("_API_KEY", "_BASE", "_BASE_URL", "_MODEL")


def config_of(
    text: str, environment: Mapping[str, str] | None = None, files: Mapping[str, str] | None = None
) -> Config:
    def included(name: str) -> str:
        if name not in (files or {}):
            raise FileNotFoundError(2, "No such file or directory", name)
        return (files or {})[name]

    surroundings = Surroundings(environment or {}, lambda name: name.endswith(ALLOWED), included)
    return read(text, "config.yml", surroundings)


def verdict_on(config: Config, ending: str) -> Verdict:
    found = [verdict for verdict in config.verdicts if verdict.path.endswith(ending)]
    assert len(found) == 1, [verdict.path for verdict in config.verdicts]
    return found[0]


def entry(params: str, name: str = "llm", more: str = "") -> str:
    """One entry of a model_list in flow style."""
    return f"  - {{model_name: {name}, litellm_params: {{{params}}}{more}}}\n"


def models(*entries: str) -> str:
    return "model_list:\n" + "".join(entries)


def refusal_of(text: str, environment: Mapping[str, str] | None = None) -> str:
    try:
        config_of(text, environment)
    except ConfigError as error:
        return str(error)
    raise AssertionError("the file was taken")
