"""The settings under test: the gateway's own, kept away from the operator's `.env`, data and services."""

import os
import tempfile

for _name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "SWITCHYARD_MASTER_KEY", "LITELLM_MASTER_KEY"):
    os.environ.pop(_name, None)
os.environ.pop("SWITCHYARD_CONFIG", None)
os.environ["SWITCHYARD_ENV_FILE"] = os.devnull
_data = tempfile.TemporaryDirectory(prefix="switchyard-tests-", ignore_cleanup_errors=True)
os.environ["SWITCHYARD_DATA"] = _data.name

from gateway.settings import *  # noqa: E402, F403

# What a test starts as a process of its own runs with the settings that operators have.
os.environ["DJANGO_SETTINGS_MODULE"] = "gateway.settings"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # a log-in per page, hundreds of them
WHITENOISE_AUTOREFRESH = True  # else every test client reads all static files first
