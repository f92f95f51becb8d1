from django.apps import AppConfig
from django.core.checks import register

from gateway.running import running
from providers.running import told_by


class GatewayConfig(AppConfig):
    name = "gateway"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from gateway import checks  # needs the models, which are there by now

        told_by(running)
        for check in checks.CHECKS:
            register(check, checks.TAG)
        for check in checks.DEPLOY_CHECKS:
            register(check, checks.TAG, deploy=True)
