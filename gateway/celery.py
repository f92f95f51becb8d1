"""The Celery application and the one list of schedules."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings")

app = Celery("switchyard")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule = {
    "roll-up": {"task": "usage.tasks.roll_up", "schedule": 30.0, "options": {"expires": 30}},
    "partitions": {
        "task": "usage.tasks.make_partitions",
        "schedule": 6 * 3600.0,
        "options": {"expires": 3600},
    },
    "retention": {
        "task": "usage.tasks.apply_retention",
        "schedule": 300.0,
        "options": {"expires": 300},
    },
    "watch-limits": {"task": "usage.tasks.watch_limits", "schedule": 30.0, "options": {"expires": 30}},
    "exchanges": {
        "task": "usage.tasks.delete_old_exchanges",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "forget-key-changes": {
        "task": "keys.tasks.forget_changes",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
}
