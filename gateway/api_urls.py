"""The API's addresses, as `door.endpoint_of` normalises them: no prefix, no slash at either end."""

from django.urls import path, re_path

from gateway.surfaces import SURFACES
from gateway.views import files, health, openai, routing, usage

urlpatterns = [
    *(path(name, openai.RelayView.as_view()) for name in SURFACES),
    path("responses/<str:name>", openai.ResponseView.as_view()),
    path("responses/<str:name>/input_items", openai.InputItemsView.as_view()),
    path("responses/<str:name>/cancel", openai.CancelView.as_view()),
    path("files", files.FilesView.as_view()),
    path("files/<str:name>", files.FileView.as_view()),
    path("files/<str:name>/content", files.ContentView.as_view()),
    path("batches", files.BatchesView.as_view()),
    path("batches/<str:name>", files.BatchView.as_view()),
    path("batches/<str:name>/cancel", files.CancelView.as_view()),
    path("models", openai.ModelsView.as_view()),
    re_path(r"^models/(?P<name>.+)$", openai.ModelView.as_view()),
    path("api/routing/explain", routing.ExplainView.as_view()),
    path("usage", usage.UsageView.as_view()),
    path("openapi.json", health.OpenApiView.as_view()),
    path("health", health.LiveView.as_view()),
    path("health/live", health.LiveView.as_view()),
    path("health/liveliness", health.LiveView.as_view()),
    path("health/liveness", health.LiveView.as_view()),
    path("metrics", health.MetricsView.as_view()),
    path("health/ready", health.ReadyView.as_view()),
    path("health/readiness", health.ReadyView.as_view()),
]
