"""The OpenAI wire: one dialect, spoken by many providers under their own base URL."""

import re

# Kind -> public base URL; None: the operator's own server, an address must be given.
KINDS: dict[str, str | None] = {
    "openai": "https://api.openai.com/v1",
    "custom_openai": None,
    "openai_like": None,
    "hosted_vllm": None,
    "vllm": None,
    "litellm_proxy": None,
    "nebius": "https://api.tokenfactory.nebius.com/v1",
    "groq": "https://api.groq.com/openai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "deepseek": "https://api.deepseek.com/v1",
    "together_ai": "https://api.together.xyz/v1",
    "fireworks_ai": "https://api.fireworks.ai/inference/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "deepinfra": "https://api.deepinfra.com/v1/openai",
    "perplexity": "https://api.perplexity.ai",
    "xai": "https://api.x.ai/v1",
    "cerebras": "https://api.cerebras.ai/v1",
    "nvidia_nim": "https://integrate.api.nvidia.com/v1",
    "sambanova": "https://api.sambanova.ai/v1",
    "lm_studio": None,
    "llamafile": "http://127.0.0.1:8080/v1",
    "ollama": "http://127.0.0.1:11434/v1",
    "ollama_chat": "http://127.0.0.1:11434/v1",
    "dashscope": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    "moonshot": "https://api.moonshot.ai/v1",
    "novita": "https://api.novita.ai/v3/openai",
    "nscale": "https://inference.api.nscale.com/v1",
    "hyperbolic": "https://api.hyperbolic.xyz/v1",
    "featherless_ai": "https://api.featherless.ai/v1",
    "github": "https://models.github.ai/inference",
    "zai": "https://api.z.ai/api/paas/v4",
}

# What a provider refuses; `drop_params` leaves these out. Sources: each provider's own API reference.
_REFUSED: dict[str, frozenset[str]] = {
    "groq": frozenset({"logprobs", "top_logprobs", "logit_bias"}),
    "mistral": frozenset({"logprobs", "top_logprobs", "logit_bias", "user", "store", "service_tier"}),
    "cerebras": frozenset({"frequency_penalty", "presence_penalty", "logit_bias", "service_tier"}),
    "perplexity": frozenset(
        {"logit_bias", "logprobs", "top_logprobs", "n", "seed", "user", "tools", "tool_choice"}
    ),
    "xai": frozenset({"logit_bias"}),
    "ollama": frozenset({"logit_bias", "user", "n", "service_tier", "store"}),
    "ollama_chat": frozenset({"logit_bias", "user", "n", "service_tier", "store"}),
    "github": frozenset({"logit_bias", "logprobs", "top_logprobs", "store", "service_tier"}),
}
# OpenAI's reasoning models take neither sampling parameters nor `max_tokens`.
_REASONING = re.compile(r"^(ft:)?(o[1345](-|$)|gpt-5(?!.*chat))")
_SAMPLING = frozenset(
    {
        "temperature",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "logprobs",
        "top_logprobs",
        "logit_bias",
    }
)


# OpenAI's models by their names, also tuned ones (`ft:gpt-4o-...`); `gpt-oss` is served by others.
_OPENAIS = re.compile(r"^(ft:)?(gpt-(?!oss)|chatgpt-|o\d)")
# Those of them that are known to know no effort ("Unrecognized request argument supplied"). Of names that are
# not here nothing is known: they get what the client says.
_EFFORTLESS = re.compile(r"^(ft:)?(gpt-3\.5|gpt-4|chatgpt-4o|o1-(mini|preview))")


def refused_params(kind: str, upstream_model: str) -> frozenset[str]:
    """Request parameters that this provider answers with an error."""
    refused = _REFUSED.get(kind, frozenset())
    if kind != "openai":
        return refused
    if _REASONING.match(upstream_model):
        refused |= _SAMPLING
    if _OPENAIS.match(upstream_model):
        refused |= {"top_k"}
    if _EFFORTLESS.match(upstream_model):
        refused |= {"reasoning_effort"}
    return refused


def cap_param(kind: str, upstream_model: str) -> str:
    """The parameter that caps the output of this model."""
    return "max_completion_tokens" if kind == "openai" and _REASONING.match(upstream_model) else "max_tokens"
