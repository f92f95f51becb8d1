"""The sections of a config.yml key by key: applied here, never read by LiteLLM, or what to do instead.

Sources: LiteLLM 1.80.10 and 1.109.1, their documentation and what they were seen to read.
"""

_LIMIT = "set a limit on the API key (create_key --limit, or general_settings.usage_limits)"
_GOOGLE = "use Google's OpenAI-compatible address with api_base and api_key"
_JUDGED = "providers are judged by real requests, none are paid for probing"
_NO_AFFINITY = "requests are shared by the model's strategy; no client is bound to a deployment"
_ROUTER = "it stands under router_settings there"
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
        "set_verbose": "set LOG_LEVEL",
        "json_logs": "set LOG_LEVEL; logs go to stderr",
        "cache": "answers are not cached",
        "cache_params": "answers are not cached; Redis is REDIS_URL here",
        "callbacks": "usage is in the admin and in export_usage; Prometheus reads /metrics",
        "success_callback": "usage is in the admin and in export_usage; Prometheus reads /metrics",
        "failure_callback": "failures are in the admin and in export_usage; Prometheus reads /metrics",
        "service_callback": "Prometheus reads /metrics",
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
        "redis_host": "Redis is REDIS_URL here",
        "redis_port": "Redis is REDIS_URL here",
        "redis_password": "Redis is REDIS_URL here",
        "redis_url": "Redis is REDIS_URL here",
        "redis_db": "Redis is REDIS_URL here",
        "set_verbose": "set LOG_LEVEL",
        "provider_budget_config": _LIMIT,
        "tag_routing_prefix": "tags are matched as they are",
        "deployment_affinity_ttl_seconds": _NO_AFFINITY,
        "model_group_affinity_config": _NO_AFFINITY,
        "prompt_prefix_affinity_tokens": _NO_AFFINITY,
        "prompt_prefix_affinity_min_tokens": _NO_AFFINITY,
        "keepalive_seconds": "streams pass as the provider sends them",
        "allow_client_keepalive_override": "streams pass as the provider sends them",
        "enable_health_check_routing": _JUDGED,
        "health_check_staleness_threshold": _JUDGED,
        "health_check_ignore_transient_errors": _JUDGED,
        "background_health_check_model_groups": _JUDGED,
        "cache_kwargs": "Redis is REDIS_URL here",
        "cache_responses": "answers are not cached",
        "caching_groups": "answers are not cached",
        "client_ttl": "not needed: connections are kept and checked by themselves",
        "debug_level": "set LOG_LEVEL",
        "default_priority": "requests wait in the order in which they came",
        "polling_interval": "not needed: a request that waits is woken when a place is free",
        "alerting_config": "watch /metrics with your monitoring",
        "router_general_settings": "not needed: nothing here blocks",
        "assistants_config": "the assistants endpoints are not served",
        "search_tools": "tools are the client's",
        "guardrail_list": "put a filtering service in front of, or behind, the gateway",
        "plugins": "strategies, priorities and tags decide",
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
        "health_check_interval": _JUDGED,
        "background_health_checks": _JUDGED,
        "infer_model_from_keys": "write an entry for each model",
        "forward_client_headers_to_llm_api": "client headers never go upstream, except those of the protocol",
        "completion_model": "write an entry of the model_name that clients use",
        "enforce_user_param": "not enforced",
        "disable_master_key_return": "not needed: keys are shown once",
        "key_management_system": "secrets are encrypted here, or named as os.environ/NAME",
        "use_redis_transaction_buffer": "not needed: usage is written in batches",
        "enable_jwt_auth": "keys are made in the admin or by create_key",
        "ui_access_mode": "the admin asks for a log-in",
        "enable_health_check_routing": _JUDGED,
        "max_in_flight_requests_per_worker": "write global_max_parallel_requests",
        "max_queued_requests_per_worker": "set QUEUE_LENGTH, or the longest queue of a model in the admin",
        "admission_queue_timeout_seconds": "set QUEUE_SECONDS, or that of a deployment in the admin",
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
    "router_settings": {
        "default_model": "",
        "enable_loadbalancing": "requests are always shared here",
        "max_retries": "write num_retries",
        "enable_pre_call_check": "it is called enable_pre_call_checks there",
        "ignore_invalid_deployments": "the proxy always sets it",
    },
    "litellm_settings": {
        "default_model": "",
        "stream": "clients choose streaming",
        "max_parallel_requests": "it stands under general_settings there",
        **dict.fromkeys(
            (
                *(
                    "cooldown_time",
                    "disable_cooldowns",
                    "allowed_fails_policy",
                    "retry_policy",
                    "retry_after",
                ),
                *("model_group_retry_policy", "timeout", "stream_timeout", "routing_strategy"),
                *("model_group_alias", "enable_tag_filtering", "enable_pre_call_checks"),
            ),
            _ROUTER,
        ),
    },
}
# What is always so here, and what is never: section -> key -> what it means.
ALWAYS: dict[str, dict[str, str]] = {
    "router_settings": {
        "enable_weighted_failover": "a request that failed goes to the next deployment by weight",
        "tag_filtering_match_any": "a deployment answers when one of its tags is among the request's",
    },
    "general_settings": {
        "enforce_fallback_model_access": "a fallback is asked only where the key may use it",
        "enforce_fallback_budget": "limits hold for fallbacks too",
        "cancel_on_disconnect": "a provider's answer is given up when its client leaves",
    },
}
NEVER: dict[str, dict[str, str]] = {
    "router_settings": {
        "enable_pre_call_checks": "providers say that a prompt is too long; context_window_fallbacks follow",
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
    "litellm_settings": frozenset(
        {
            *("max_budget", "budget_duration", "max_end_user_budget"),
            *("drop_params", "num_retries", "request_timeout", "allowed_fails", "max_fallbacks"),
            *("fallbacks", "default_fallbacks", "context_window_fallbacks", "content_policy_fallbacks"),
        }
    ),
    "router_settings": frozenset(
        {
            *("routing_strategy", "routing_groups", "model_group_alias"),
            *("num_retries", "retry_policy", "model_group_retry_policy", "retry_after"),
            *("timeout", "stream_timeout", "ttft_timeout", "stream_idle_timeout"),
            *("allowed_fails", "allowed_fails_policy", "cooldown_time", "disable_cooldowns"),
            *("fallbacks", "default_fallbacks", "context_window_fallbacks", "content_policy_fallbacks"),
            *("max_fallbacks", "enable_tag_filtering", "optional_pre_call_checks"),
            *("default_litellm_params", "default_max_parallel_requests"),
        }
    ),
}
