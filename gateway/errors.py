"""Every exception becomes one error envelope, here."""

from rest_framework.views import exception_handler as drf_exception_handler  # noqa: F401
