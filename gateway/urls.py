from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from gateway.console.connect import connect
from gateway.console.tried import tried
from gateway.console.used import used

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index", http_method_names=["get", "head"])),
    path("admin/connect/", admin.site.admin_view(connect), name="connect"),
    path("admin/limits/used/", admin.site.admin_view(used), name="limits-used"),
    path("admin/limits/try/", admin.site.admin_view(tried), name="limit-try"),
    path("admin/", admin.site.urls),
]
