"""Names of LiteLLM's config.yml, and what to do where a key is not (or nowhere) read.

Sources: LiteLLM 1.80.10 and 1.109.1, their documentation and what they were seen to read.
"""

from providers.dialects import KINDS
from providers.price_sources import COST_KEYS

# Wires of their own that no adapter speaks yet, and services whose models need the generic prefix.
OWN_WIRE = frozenset(
    [
        "ai21",
        "azure",
        "azure_ai",
        "azure_text",
        "bedrock",
        "bedrock_converse",
        "clarifai",
        "cloudflare",
        "codestral",
        "cohere",
        "cohere_chat",
        "databricks",
        "friendliai",
        "gemini",
        "github_copilot",
        "huggingface",
        "infinity",
        "jina_ai",
        "lambda_ai",
        "maritalk",
        "meta_llama",
        "nlp_cloud",
        "oci",
        "oobabooga",
        "palm",
        "petals",
        "predibase",
        "replicate",
        "sagemaker",
        "sagemaker_chat",
        "snowflake",
        "text-completion-codestral",
        "text-completion-openai",
        "triton",
        "v0",
        "vertex_ai",
        "vertex_ai_beta",
        "volcengine",
        "voyage",
        "watsonx",
        "watsonx_text",
        "xinference",
    ]
)
# Beginnings of well-known names that come without a provider prefix.
WELL_KNOWN = (
    (
        ("gpt-", "chatgpt-", "o1", "o3", "o4-", "text-embedding-", "dall-e-", "whisper-", "tts-", "ft:gpt-"),
        "openai",
    ),
    (("claude-",), "anthropic"),
    (("gemini-", "gemini/"), "gemini"),
    (("command-",), "cohere"),
)
# api_key values that people write where a server wants none.
NO_KEY = frozenset({"", "empty", "none", "sk-unused", "anything"})
PUBLISHED_KEYS = frozenset(
    {"sk-litellm-admin", "sk-1234", "sk-12345", "sk-123456", "sk-litellm", "sk-master"}
)

ENTRY = frozenset({"model_name", "litellm_params", "model_info"})
# Read by the importer itself.
READ_PARAMS = frozenset(
    [
        "model",
        "api_base",
        "base_url",
        "api_key",
        "custom_llm_provider",
        "weight",
        "rpm",
        "tpm",
        "max_budget",
        "budget_duration",
        "max_parallel_requests",
        "order",
        "timeout",
        "stream_timeout",
        "extra_headers",
        "extra_body",
        "drop_params",
        "tags",
        "num_retries",
        "max_retries",
        "cooldown_time",
        "request_timeout",
        "ttft_timeout",
        "stream_idle_timeout",
    ]
)
OPENAI_PARAMS = frozenset(
    [
        "audio",
        "dimensions",
        "encoding_format",
        "enable_thinking",
        "frequency_penalty",
        "function_call",
        "functions",
        "instructions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "metadata",
        "min_p",
        "modalities",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "quality",
        "reasoning",
        "reasoning_effort",
        "repetition_penalty",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "size",
        "stop",
        "store",
        "stream_options",
        "style",
        "temperature",
        "text",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "voice",
        "web_search_options",
        "chat_template_kwargs",
        "guided_json",
        "keep_alive",
        "num_ctx",
    ]
)
# A default for these would take the request away from its client.
NEVER_DEFAULT = frozenset({"model", "messages", "stream", "input", "prompt"})

_FALLBACK = "write router_settings.fallbacks: [{model_name: [other, ...]}]; it names models of this file"
_AZURE = "use Azure's OpenAI-compatible address: model openai/NAME with api_base https://RESOURCE.openai.azure.com/openai/v1"
_AWS = "use Bedrock's OpenAI-compatible address with api_base and api_key"
_GOOGLE = "use Google's OpenAI-compatible address with api_base and api_key"
_KEYS_ONLY = "the credential of a provider is its api_key, best as os.environ/NAME"
UNSUPPORTED_PARAMS: dict[str, str] = {
    "tag_regex": "headers are not searched; clients send tags in x-litellm-tags or metadata.tags",
    "litellm_credential_name": "write api_base and api_key into the entry, api_key as os.environ/NAME",
    "api_version": _AZURE,
    "region_name": _AWS,
    "organization": "send it with extra_headers: {OpenAI-Organization: ...}",
    "headers": "write extra_headers",
    "client_id": _KEYS_ONLY,
    "client_secret": _KEYS_ONLY,
    "tenant_id": _AZURE,
    "base_model": "it stands under model_info",
    "fallbacks": _FALLBACK,
    "context_window_fallbacks": _FALLBACK,
    "context_window_fallback_dict": _FALLBACK,
    "content_policy_fallbacks": _FALLBACK,
    "default_fallbacks": _FALLBACK,
    "allowed_fails": "write router_settings.allowed_fails",
    "retry_policy": "write router_settings.model_group_retry_policy",
    "keepalive_seconds": "streams pass as the provider sends them",
    "allow_client_keepalive_override": "streams pass as the provider sends them",
    "allowed_openai_params": "not needed: every parameter passes unless drop_params is on",
    "additional_drop_params": "drop_params leaves out what the provider is known to refuse",
    "mock_response": "point api_base at a test server",
    "cache": "answers are not cached",
    "caching": "answers are not cached",
    "ssl_verify": "certificates are always verified; add the authority to the machine's trust store",
    "configurable_clientside_auth_params": "clients never choose an upstream credential or address",
    "use_in_pass_through": "only the OpenAI-compatible endpoints are served",
    "guardrails": "put a filtering service in front of, or behind, the gateway",
    "cache_control_injection_points": "the request body passes as the client sent it",
    "merge_reasoning_content_in_choices": "answers pass as the provider sends them",
    "custom_tokenizer": "tokens are counted by the provider",
    "prompt_id": "prompts are the client's",
    "prompt_variables": "prompts are the client's",
    "mode": "it stands under model_info",
    "litellm_trace_id": "every request has an x-request-id",
}
# What LiteLLM's router never reads of an entry.
INERT_PARAMS: dict[str, str] = {
    "max_retries": "LiteLLM's router sets it to 0 for each attempt; write num_retries",
}
PARAM_PREFIXES: tuple[tuple[str, str], ...] = (
    ("azure_", _AZURE),
    ("aws_", _AWS),
    ("vertex_", _GOOGLE),
    ("watsonx_", _KEYS_ONLY),
    ("oci_", _KEYS_ONLY),
    ("auto_router_", "clients name the model"),
)


def unsupported_param(name: str) -> str:
    """What to do instead of a parameter that LiteLLM knows and nothing here reads; "" for any other."""
    return UNSUPPORTED_PARAMS.get(name) or next(
        (instead for prefix, instead in PARAM_PREFIXES if name.startswith(prefix)), ""
    )


MODES: dict[str, str] = {
    "chat": "chat",
    "completion": "completion",
    "embedding": "embedding",
    "responses": "responses",
    "image_generation": "image_generation",
    "audio_speech": "audio_speech",
    "audio_transcription": "audio_transcription",
    "moderation": "moderation",
    "moderations": "moderation",
    "rerank": "rerank",
}

# LiteLLM's names of routing strategies, and ours.
STRATEGIES = {
    "simple-shuffle": "weighted",
    "least-busy": "least-busy",
    "latency-based-routing": "latency",
    "cost-based-routing": "cost",
    "usage-based-routing": "usage",
    "usage-based-routing-v2": "usage",
}
WINDOWS = ("second", "minute", "hour", "day", "week", "month", "total")
USAGE_LIMIT = frozenset({"max_requests", "max_tokens", "max_cost", "window"})
# Those of switchyard are this gateway's own, for exports; LiteLLM keeps them as notes.
MODEL_INFO = frozenset(
    {
        "id",
        "mode",
        "base_model",
        "max_tokens",
        "max_input_tokens",
        "max_output_tokens",
        "switchyard_provider",
        "switchyard_provider_enabled",
        "switchyard_state",
        "switchyard_disconnect",
        "switchyard_also_speaks",
        "switchyard_strategy",
        "switchyard_model",
        "switchyard_queue_seconds",
        "switchyard_connect_timeout",
        "switchyard_idle_timeout",
    }
)
# What newer versions of LiteLLM read of a model_info, and nothing here does.
UNREAD_INFO: dict[str, str] = {
    "allow_fail_open": "a request with tags that nobody has goes to deployments tagged default",
    "allowed_fails": "write router_settings.allowed_fails",
    "allowed_fails_policy": "write router_settings.allowed_fails",
    "blocked": "write switchyard_state: disabled",
    "cooldown_time": "write it under litellm_params",
    "enable_tag_filtering": "write router_settings.enable_tag_filtering",
    "order": "write it under litellm_params",
}
DISCONNECT = ("estimate", "drain", "not_billed")
STATES = ("active", "draining", "disabled")
ALL_PARAMS = READ_PARAMS | OPENAI_PARAMS | UNSUPPORTED_PARAMS.keys() | COST_KEYS
PUBLIC_URLS = {kind: url for kind, url in KINDS.items() if url and url.startswith("https://")}
