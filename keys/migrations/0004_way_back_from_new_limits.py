from django.db import migrations, models


def remove_what_did_not_exist(apps, schema_editor):
    """On the way back: limits that the version before has no columns for."""
    limits = apps.get_model('keys', 'Limit').objects.all()
    limits.filter(models.Q(key__isnull=True, team__isnull=True) | models.Q(each_end_user=True)).delete()
    limits.filter(metric='cost').delete()


class Migration(migrations.Migration):
    # apart from the columns: PostgreSQL alters no table of which rows were deleted in the same transaction

    dependencies = [('keys', '0003_limits_everywhere')]

    operations = [migrations.RunPython(migrations.RunPython.noop, remove_what_did_not_exist)]
