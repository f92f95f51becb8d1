"""Every setting, read from the environment (and a `.env` file). `docs/settings.md` lists them all."""

import os
import secrets
import sys
import warnings
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import environ
import structlog
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.urls import reverse_lazy

BASE_DIR = Path(__file__).resolve().parent.parent


class _Env(environ.Env):  # type: ignore[misc]  # it is not typed
    """Names the variable whose value cannot be read."""

    def get_value(self, var: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().get_value(var, *args, **kwargs)
        except ValueError as error:
            raise ImproperlyConfigured(f"{var}: {error} (docs/settings.md says what it takes)") from None


env = _Env()
env.read_env(os.environ.get("SWITCHYARD_ENV_FILE", BASE_DIR / ".env"))

# --- where things are kept ---------------------------------------------------------------------
DATA_DIR = Path(env.str("SWITCHYARD_DATA", default=str(BASE_DIR / "var"))).absolute()
try:
    DATA_DIR.mkdir(parents=True, exist_ok=True)
except OSError as error:
    raise ImproperlyConfigured(f"SWITCHYARD_DATA: cannot make {DATA_DIR}: {error.strerror}") from None
REDIS_URL = env.str("REDIS_URL", default="")
DATABASE_URL = env.str("DATABASE_URL", default="") or f"sqlite:///{DATA_DIR / 'switchyard.sqlite3'}"
_DATABASES = ("sqlite", "postgres", "postgresql")
if DATABASE_URL.partition("://")[0] not in _DATABASES:
    raise ImproperlyConfigured(f"DATABASE_URL: begins with none of {', '.join(_DATABASES)} and ://")
try:
    DATABASES = {"default": env.db_url_config(DATABASE_URL)}
except ValueError as error:
    raise ImproperlyConfigured(f"DATABASE_URL: {error}") from None
_database = DATABASES["default"]
if _database["ENGINE"] == "django.db.backends.sqlite3":
    _database["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    # A hung server must not hang a worker: connecting and every statement are bounded.
    _database["OPTIONS"] = {
        "connect_timeout": 3,
        "keepalives_idle": 5,  # a host that vanished is noticed within a quarter of a minute
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "options": "-c statement_timeout=30000 -c idle_in_transaction_session_timeout=60000",
        **_database.get("OPTIONS", {}),
    }


def _secret_key() -> str:
    """SECRET_KEY, else one made once into the data directory (mode 0600) for a single machine."""
    given: str = env.str("SECRET_KEY", default="")
    if given:
        return given
    path = DATA_DIR / "secret_key"
    if not path.exists():
        draft = DATA_DIR / f"secret_key.{os.getpid()}.{secrets.token_hex(4)}"
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)  # atomic, and the first of several starting processes wins
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()


SECRET_KEY_FROM_ENV = bool(env.str("SECRET_KEY", default=""))
try:
    SECRET_KEY = _secret_key()
except OSError as error:
    raise ImproperlyConfigured(f"SWITCHYARD_DATA: {error.filename}: {error.strerror}") from None
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
# base64 of 32 bytes each, the first one encrypts, all decrypt; none: derived from SECRET_KEY
ENCRYPTION_KEYS = env.list("SWITCHYARD_ENCRYPTION_KEYS", default=[])

# --- who may reach what ------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# Origins of web pages that may ask the API from a browser, or *; none: no page may.
CORS_ORIGINS = [origin.strip() for origin in env.list("CORS_ORIGINS", default=[]) if origin.strip()]
MASTER_KEY = env.str("SWITCHYARD_MASTER_KEY", default="") or env.str("LITELLM_MASTER_KEY", default="")
# Open WebUI's FORWARD_USER_INFO_HEADER_JWT_SECRET; none: its signed tokens are not looked at.
OPENWEBUI_JWT_SECRET = env.str("OPENWEBUI_JWT_SECRET", default="").strip()
ALLOWED_PRIVATE_UPSTREAMS = env.list("ALLOWED_PRIVATE_UPSTREAMS", default=[])
SECRET_REFERENCES = env.list("SECRET_REFERENCES", default=["*_API_KEY", "*_TOKEN", "*_BASE", "*_BASE_URL"])

# --- serving -----------------------------------------------------------------------------------
HOST = env.str("HOST", default="127.0.0.1")
PORT = env.int("PORT", default=4000)
WEB_CONCURRENCY = env.int("WEB_CONCURRENCY", default=1)
CONFIG_FILE = env.str("SWITCHYARD_CONFIG", default="")
MAX_BODY_MB = env.int("MAX_BODY_MB", default=32)
MAX_UPLOAD_MB = env.int("MAX_UPLOAD_MB", default=512)
UPLOAD_IDLE_SECONDS = env.float("UPLOAD_IDLE_SECONDS", default=60.0)
# What a batch uses is billed by its provider and held to nothing here.
BATCHES_BEYOND_LIMITS = env.bool("BATCHES_BEYOND_LIMITS", default=False)
MAX_ANSWER_MB = env.int("MAX_ANSWER_MB", default=64)
CONNECT_TIMEOUT = env.float("CONNECT_TIMEOUT", default=3.0)
FIRST_BYTE_TIMEOUT = env.float("FIRST_BYTE_TIMEOUT", default=300.0)
IDLE_TIMEOUT = env.float("IDLE_TIMEOUT", default=120.0)
TOTAL_TIMEOUT = env.float("TOTAL_TIMEOUT", default=600.0)
# Of a request with all its attempts, so longer than one of them may take.
DEADLINE = env.float("DEADLINE", default=900.0)
# While all deployments of a model are full: how long a request waits, and how many of a model and worker.
QUEUE_SECONDS = env.float("QUEUE_SECONDS", default=10.0)
QUEUE_LENGTH = env.int("QUEUE_LENGTH", default=100)
GRACEFUL_TIMEOUT = env.int("GRACEFUL_TIMEOUT", default=30)
# Streams whose clients left and whose providers bill them to the end: how long, and how many of a worker.
DRAIN_SECONDS = env.float("DRAIN_SECONDS", default=120.0)
DRAIN_MOST = env.int("DRAIN_MOST", default=32)
# On: the hot POSTs skip building a Django request. Off: every call goes through the DRF view.
DIRECT_DOOR = env.bool("DIRECT_DOOR", default=True)
# Days; 0 is for ever. Daily sums are kept for ever.
ATTEMPT_RETENTION_DAYS = env.int("ATTEMPT_RETENTION_DAYS", default=400)
HOURLY_RETENTION_DAYS = env.int("HOURLY_RETENTION_DAYS", default=400)
EXCHANGE_RETENTION_DAYS = env.int("EXCHANGE_RETENTION_DAYS", default=30)
EXCHANGE_MAX_KB = env.int("EXCHANGE_MAX_KB", default=256)
if not 1 <= EXCHANGE_MAX_KB <= 4096:
    raise ImproperlyConfigured(f"EXCHANGE_MAX_KB: {EXCHANGE_MAX_KB} is not between 1 and 4096")
# How many different end users one key may name, unless it says otherwise itself.
MAX_END_USERS = env.int("MAX_END_USERS", default=10_000)
# Who is told that a limit fills up. No EMAIL_URL: nobody by e-mail.
EMAIL_URL = env.str("EMAIL_URL", default="")
if EMAIL_URL and EMAIL_URL.partition("://")[0] not in ("smtp", "smtp+tls", "smtp+ssl"):
    raise ImproperlyConfigured("EMAIL_URL: begins with none of smtp, smtp+tls, smtp+ssl and ://")
try:
    _mail = env.email_url_config(EMAIL_URL or "dummymail://")
except ValueError as error:
    raise ImproperlyConfigured(f"EMAIL_URL: {error}") from None
EMAIL_BACKEND = _mail["EMAIL_BACKEND"]
EMAIL_HOST = _mail["EMAIL_HOST"] or "localhost"
EMAIL_USE_TLS, EMAIL_USE_SSL = "EMAIL_USE_TLS" in _mail, "EMAIL_USE_SSL" in _mail
EMAIL_PORT = _mail["EMAIL_PORT"] or (587 if EMAIL_USE_TLS else 465 if EMAIL_USE_SSL else 25)
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail["EMAIL_HOST_USER"] or "", _mail["EMAIL_HOST_PASSWORD"] or ""
ALERT_FROM = env.str("ALERT_FROM", default="")
ALERT_EMAILS = env.list("ALERT_EMAILS", default=[])
ALERT_WEBHOOK_URL = env.str("ALERT_WEBHOOK_URL", default="")
JOURNAL_FULL = env.str("JOURNAL_FULL", default="refuse")
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
if LOG_LEVEL not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
    raise ImproperlyConfigured(f"LOG_LEVEL: {LOG_LEVEL} is none of DEBUG, INFO, WARNING, ERROR, CRITICAL")

# --- Django ------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.simple_history",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "simple_history",
    "rest_framework",
    "drf_spectacular",
    "providers",
    "keys",
    "usage",
    "gateway",
]
# The admin's alone: /v1 and /health never pass a middleware (gateway/asgi.py).
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "gateway.console.policy.ContentSecurityPolicyMiddleware",
]
ROOT_URLCONF = "gateway.urls"
ASGI_APPLICATION = "gateway.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LANGUAGE_CODE = "en-us"
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
try:
    ZoneInfo(TIME_ZONE)
except (ZoneInfoNotFoundError, ValueError):
    raise ImproperlyConfigured(f"TIME_ZONE: there is no {TIME_ZONE}; one is called Europe/Berlin") from None
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = True
# Only an image has collected files; elsewhere the finders serve them.
warnings.filterwarnings("ignore", message="No directory at", category=UserWarning)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {
    "default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": REDIS_URL}
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}
SESSION_ENGINE = (
    "django.contrib.sessions.backends.cached_db" if REDIS_URL else "django.contrib.sessions.backends.db"
)
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_TLS_PROXY", default=False) else None
)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("BEHIND_TLS_PROXY", default=False)
X_FRAME_OPTIONS = "DENY"
LOGIN_URL = "/admin/login/"
REST_FRAMEWORK: dict[str, object] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
    "EXCEPTION_HANDLER": "gateway.errors.drf_exception_handler",
    "DEFAULT_SCHEMA_CLASS": "gateway.openapi.Schema",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Switchyard",
    "DESCRIPTION": "One OpenAI-compatible endpoint in front of many LLM providers. Addresses are served with "
    "and without /v1; fields that are not named here pass on to the provider.",
    "VERSION": "1",
    "OAS_VERSION": "3.0.3",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": ["gateway.openapi.completed"],
}

# --- Celery ------------------------------------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL or "filesystem://localhost"
if not REDIS_URL:
    _queue = DATA_DIR / "celery"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_queue / "queue"),
        "data_folder_out": str(_queue / "queue"),
        "processed_folder": str(_queue / "processed"),
        "control_folder": str(_queue / "control"),
        "store_processed": False,
    }
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TIMEZONE = "UTC"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# Tracebacks are plain: the locals of a frame hold keys and prompts.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
        structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
    ],
    wrapper_class=structlog.make_filtering_bound_logger(LOG_LEVEL.lower()),
    logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    cache_logger_on_first_use=True,
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    # Below a warning they tell the URLs that are asked: a webhook's is a secret.
    "loggers": {name: {"level": "WARNING"} for name in ("httpx2", "httpcore2")},
}


# --- the operator's console --------------------------------------------------------------------
def _menu(title: str, *items: tuple[str, str, str, str]) -> dict[str, object]:
    """A group of the side bar; items are title, icon, URL name and the permission it needs."""
    return {
        "title": title,
        "separator": True,
        "items": [
            {
                "title": text,
                "icon": icon,
                "link": reverse_lazy(name),
                "permission": lambda request, needs=needs: not needs or request.user.has_perm(needs),
            }
            for text, icon, name, needs in items
        ],
    }


UNFOLD = {
    "SITE_TITLE": "Switchyard",
    "SITE_HEADER": "Switchyard",
    "SITE_SUBHEADER": "LLM gateway",
    "SITE_SYMBOL": "alt_route",
    "SITE_URL": None,
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("console/icon.svg")}
    ],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "DASHBOARD_CALLBACK": "gateway.console.home.dashboard",
    "STYLES": [lambda request: static("console/console.css")],
    "SCRIPTS": [lambda request: static("console/console.js")],
    "COLORS": {
        "primary": {
            "50": "oklch(96.2% .018 272.314)",
            "100": "oklch(93% .034 272.788)",
            "200": "oklch(87% .065 274.039)",
            "300": "oklch(78.5% .115 274.713)",
            "400": "oklch(67.3% .182 276.935)",
            "500": "oklch(62% .205 277)",
            "600": "oklch(51.1% .262 276.966)",
            "700": "oklch(45.7% .24 277.023)",
            "800": "oklch(39.8% .195 277.366)",
            "900": "oklch(35.9% .144 278.697)",
            "950": "oklch(25.7% .09 281.288)",
        }
    },
    "SIDEBAR": {
        "show_search": True,
        "navigation": [
            _menu(
                "Overview",
                ("Home", "dashboard", "admin:index", ""),
                ("Connect a client", "cable", "connect", ""),
            ),
            _menu(
                "Traffic",
                ("Requests", "receipt_long", "admin:usage_attempt_changelist", "usage.view_attempt"),
                ("Hourly usage", "bar_chart", "admin:usage_hourlyusage_changelist", "usage.view_hourlyusage"),
                (
                    "Daily usage",
                    "calendar_month",
                    "admin:usage_dailyusage_changelist",
                    "usage.view_dailyusage",
                ),
                (
                    "Files and batches",
                    "folder_open",
                    "admin:usage_storedobject_changelist",
                    "usage.view_storedobject",
                ),
                ("Prompts and answers", "forum", "admin:usage_exchange_changelist", "usage.view_exchange"),
                (
                    "Redaction rules",
                    "ink_eraser",
                    "admin:usage_redactionrule_changelist",
                    "usage.view_redactionrule",
                ),
            ),
            _menu(
                "Routing",
                ("Models", "deployed_code", "admin:providers_model_changelist", "providers.view_model"),
                (
                    "Deployments",
                    "alt_route",
                    "admin:providers_deployment_changelist",
                    "providers.view_deployment",
                ),
                (
                    "Fallbacks",
                    "low_priority",
                    "admin:providers_fallback_changelist",
                    "providers.view_fallback",
                ),
                ("Providers", "cloud", "admin:providers_provider_changelist", "providers.view_provider"),
                ("Prices", "sell", "admin:providers_price_changelist", "providers.view_price"),
                ("Reratings", "history", "admin:usage_rerating_changelist", "usage.view_rerating"),
            ),
            _menu(
                "Access",
                ("API keys", "key", "admin:keys_apikey_changelist", "keys.view_apikey"),
                ("Teams", "groups", "admin:keys_team_changelist", "keys.view_team"),
                ("End users", "badge", "admin:keys_enduser_changelist", "keys.view_enduser"),
                ("Limits", "speed", "admin:keys_limit_changelist", "keys.view_limit"),
                (
                    "Limit alerts",
                    "notifications",
                    "admin:usage_limitalert_changelist",
                    "usage.view_limitalert",
                ),
            ),
            _menu(
                "Operators",
                ("Users", "person", "admin:auth_user_changelist", "auth.view_user"),
                ("Groups", "admin_panel_settings", "admin:auth_group_changelist", "auth.view_group"),
            ),
        ],
    },
}
