"""How to connect clients: the base URL and ready-made settings."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from providers.models import Model


def connect(request: HttpRequest) -> HttpResponse:
    """The page with settings for Open WebUI, the OpenAI SDKs and curl."""
    names = list(Model.objects.filter(hidden=False).values_list("name", flat=True)[:1])
    context = {
        **admin.site.each_context(request),
        "title": "Connect a client",
        "base_url": request.build_absolute_uri("/v1"),
        "model": names[0] if names else "MODEL",
        "has_model": bool(names),
    }
    return TemplateResponse(request, "console/connect.html", context)
