from django.contrib import admin
from django.urls import path

from gateway.console.connect import connect

urlpatterns = [
    path("admin/connect/", admin.site.admin_view(connect), name="connect"),
    path("admin/", admin.site.urls),
]
