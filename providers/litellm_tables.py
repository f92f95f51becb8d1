"""Names of LiteLLM's config.yml, and what to do where a key is not (or nowhere) read.

Sources: LiteLLM 1.80.10 and 1.109.1, their documentation and what they were seen to read.
"""

from providers.adapters.openai import KINDS
from providers.price_sources import COST_KEYS

# Wires of their own that no adapter speaks yet, and services whose models need the generic prefix.
OWN_WIRE = frozenset(
    [
        "ai21",
        "anthropic",
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

_LIMIT = "set a limit on the API key (create_key --limit, or general_settings.usage_limits)"
_RETRY = "a request is tried on up to 3 deployments by itself; clients may retry beyond that"
_AZURE = "use Azure's OpenAI-compatible address: model openai/NAME with api_base https://RESOURCE.openai.azure.com/openai/v1"
_AWS = "use Bedrock's OpenAI-compatible address with api_base and api_key"
_GOOGLE = "use Google's OpenAI-compatible address with api_base and api_key"
_KEYS_ONLY = "the credential of a provider is its api_key, best as os.environ/NAME"
UNSUPPORTED_PARAMS: dict[str, str] = {
    "tags": "tag routing is not available; give the deployments model names of their own",
    "num_retries": _RETRY,
    "max_retries": _RETRY,
    "litellm_credential_name": "write api_base and api_key into the entry, api_key as os.environ/NAME",
    "api_version": _AZURE,
    "region_name": _AWS,
    "organization": "send it with extra_headers: {OpenAI-Organization: ...}",
    "headers": "write extra_headers",
    "client_id": _KEYS_ONLY,
    "client_secret": _KEYS_ONLY,
    "tenant_id": _AZURE,
    "base_model": "it stands under model_info",
    "fallbacks": "add deployments with a higher order to the same model_name",
    "cooldown_time": "failing deployments are put aside and come back by themselves",
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

# Section -> key -> what to do instead.
UNSUPPORTED: dict[str, dict[str, str]] = {
    "": {
        "environment_variables": "put these names into .env; a config file never sets the environment",
        "credential_list": "write api_base and api_key into each entry, api_key as os.environ/NAME",
        "callback_settings": "callbacks are not available; usage is in the admin and in export_usage",
        "guardrails": "put a filtering service in front of, or behind, the gateway",
        "prompts": "prompts are the client's",
        "mcp_servers": "MCP servers are the client's",
        "mcp_tools": "MCP servers are the client's",
        "assistant_settings": "the assistants endpoints are not served",
        "files_settings": "the files endpoints are not served",
        "finetune_settings": "the fine-tuning endpoints are not served",
        "vector_store_registry": "vector stores are the client's",
        "search_tools": "tools are the client's",
        "default_vertex_config": _GOOGLE,
        "litellm_license": "no licence is needed",
    },
    "litellm_settings": {
        "drop_params": "write general_settings.drop_params: true, or drop_params in each entry",
        "request_timeout": "write timeout in each entry, or set TOTAL_TIMEOUT",
        "num_retries": _RETRY,
        "set_verbose": "set LOG_LEVEL",
        "json_logs": "set LOG_LEVEL; logs go to stderr",
        "cache": "answers are not cached",
        "cache_params": "answers are not cached; Redis is REDIS_URL here",
        "callbacks": "usage is in the admin and in export_usage; Prometheus reads /metrics",
        "success_callback": "usage is in the admin and in export_usage; Prometheus reads /metrics",
        "failure_callback": "failures are in the admin and in export_usage; Prometheus reads /metrics",
        "service_callback": "Prometheus reads /metrics",
        "fallbacks": "add deployments with a higher order to the same model_name",
        "default_fallbacks": "add deployments with a higher order to each model_name",
        "context_window_fallbacks": "add a model with a larger window; clients name it",
        "content_policy_fallbacks": "clients choose the model to ask instead",
        "allowed_fails": "failing deployments are put aside and come back by themselves",
        "max_end_user_budget_id": "write max_end_user_budget, or limits of end users in the admin",
        "max_internal_user_budget": _LIMIT,
        "internal_user_budget_duration": _LIMIT,
        "tag_budget_config": _LIMIT,
        "turn_off_message_logging": "not needed: prompts and answers are not kept",
        "redact_user_api_key_info": "not needed: only a beginning of each key is ever shown",
        "modify_params": "the request body passes as the client sent it",
        "telemetry": "not needed: nothing is reported anywhere",
        "default_team_settings": "make teams in the admin",
        "default_internal_user_params": "make users in the admin",
        "force_ipv4": "not needed: addresses are tried in the system's order",
        "ssl_verify": "certificates are always verified; add the authority to the machine's trust store",
    },
    "router_settings": {
        "routing_strategy_args": "strategies take no arguments here",
        "num_retries": _RETRY,
        "retry_after": _RETRY,
        "retry_policy": _RETRY,
        "max_fallbacks": _RETRY,
        "timeout": "write timeout in each entry, or set TOTAL_TIMEOUT",
        "stream_timeout": "write stream_timeout in each entry, or set FIRST_BYTE_TIMEOUT",
        "allowed_fails": "failing deployments are put aside and come back by themselves",
        "allowed_fails_policy": "failing deployments are put aside and come back by themselves",
        "cooldown_time": "failing deployments are put aside and come back by themselves",
        "disable_cooldowns": "failing deployments are put aside and come back by themselves",
        "fallbacks": "add deployments with a higher order to the same model_name",
        "default_fallbacks": "add deployments with a higher order to each model_name",
        "context_window_fallbacks": "add a model with a larger window; clients name it",
        "content_policy_fallbacks": "clients choose the model to ask instead",
        "enable_pre_call_checks": "the provider's own refusal is passed on",
        "enable_tag_filtering": "give the deployments model names of their own",
        "redis_host": "Redis is REDIS_URL here",
        "redis_port": "Redis is REDIS_URL here",
        "redis_password": "Redis is REDIS_URL here",
        "redis_url": "Redis is REDIS_URL here",
        "redis_db": "Redis is REDIS_URL here",
        "set_verbose": "set LOG_LEVEL",
        "provider_budget_config": _LIMIT,
    },
    "general_settings": {
        "database_url": "the database is the DATABASE_URL environment variable here",
        "store_model_in_db": "not needed: everything is in the database, and edited in the admin",
        "store_prompts_in_spend_logs": "prompts and answers are not kept",
        "maximum_spend_logs_retention_period": "usage is kept; PostgreSQL holds it by month",
        "maximum_spend_logs_retention_interval": "usage is kept; PostgreSQL holds it by month",
        "disable_spend_logs": "usage is always recorded",
        "disable_error_logs": "failed attempts are recorded without their texts",
        "database_connection_pool_limit": "not needed: requests use no database connection",
        "database_connection_timeout": "connections and statements are bounded by themselves",
        "proxy_batch_write_at": "not needed: usage is written in batches within seconds",
        "alerting": "watch /metrics with your monitoring",
        "alerting_threshold": "watch /metrics with your monitoring",
        "alert_types": "watch /metrics with your monitoring",
        "allowed_ips": "filter addresses in the proxy or firewall in front",
        "user_header_mappings": "write user_header_name, or the header on each key in the admin",
        "pass_through_endpoints": "only the OpenAI-compatible endpoints are served",
        "custom_auth": "keys are made in the admin or by create_key",
        "litellm_key_header_name": "keys come as Authorization: Bearer, x-api-key or api-key",
        "health_check_interval": "providers are judged by real requests, none are paid for probing",
        "background_health_checks": "providers are judged by real requests, none are paid for probing",
        "infer_model_from_keys": "write an entry for each model",
        "forward_client_headers_to_llm_api": "client headers never go upstream, except those of the protocol",
        "completion_model": "write an entry of the model_name that clients use",
        "enforce_user_param": "not enforced",
        "disable_master_key_return": "not needed: keys are shown once",
        "key_management_system": "secrets are encrypted here, or named as os.environ/NAME",
        "use_redis_transaction_buffer": "not needed: usage is written in batches",
        "enable_jwt_auth": "keys are made in the admin or by create_key",
        "ui_access_mode": "the admin asks for a log-in",
    },
}
_TIMES = "write limits per key under general_settings.usage_limits"
INERT: dict[str, dict[str, str]] = {
    "": {"rate_limits": _TIMES},
    "general_settings": {
        "max_budget": "it stands under litellm_settings there",
        "cache": "it stands under litellm_settings there",
        "cache_params": "it stands under litellm_settings there",
        "ttl": "",
        "num_workers": "set WEB_CONCURRENCY here",
        "enable_metrics": "/metrics is always served here",
        "enable_admin_ui": "the admin is always served here",
    },
    "router_settings": {"default_model": "", "enable_loadbalancing": "requests are always shared here"},
    "litellm_settings": {
        "default_model": "",
        "cooldown_time": "it stands under router_settings there",
        "stream": "clients choose streaming",
        "max_parallel_requests": "it stands under general_settings there",
    },
}
# Applied here, section by section.
APPLIED: dict[str, frozenset[str]] = {
    "": frozenset({"model_list", "general_settings", "litellm_settings", "router_settings", "include"}),
    "general_settings": frozenset(
        {
            "master_key",
            "drop_params",
            "usage_limits",
            "max_parallel_requests",
            "global_max_parallel_requests",
            "user_header_name",
        }
    ),
    "litellm_settings": frozenset({"max_budget", "budget_duration", "max_end_user_budget"}),
    "router_settings": frozenset({"routing_strategy", "model_group_alias"}),
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
# The last four are this gateway's own, for exports; LiteLLM keeps them as notes.
MODEL_INFO = frozenset(
    {
        "id",
        "mode",
        "base_model",
        "max_tokens",
        "max_input_tokens",
        "max_output_tokens",
        "switchyard_provider",
        "switchyard_state",
        "switchyard_disconnect",
        "switchyard_strategy",
    }
)
DISCONNECT = ("estimate", "drain", "not_billed")
STATES = ("active", "draining", "disabled")
ALL_PARAMS = READ_PARAMS | OPENAI_PARAMS | UNSUPPORTED_PARAMS.keys() | COST_KEYS
PUBLIC_URLS = {kind: url for kind, url in KINDS.items() if url and url.startswith("https://")}
