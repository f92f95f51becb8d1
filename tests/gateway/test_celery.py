"""What is scheduled is there to be run."""

from gateway.celery import app


def test_every_schedule_names_a_task_that_the_worker_knows() -> None:
    app.loader.import_default_modules()
    assert app.conf.beat_schedule
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= app.tasks.keys()


def test_sums_are_asked_for_every_30_seconds() -> None:
    assert app.conf.beat_schedule["roll-up"]["schedule"] == 30.0
