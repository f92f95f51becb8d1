import usage.models
from django.db import migrations, models


def _mark_all(apps, schema_editor):
    """Sums are derived: those of before are made again, by more than they were."""
    hours = apps.get_model('usage', 'HourlyUsage').objects.order_by().values_list('hour', flat=True).distinct()
    mark = apps.get_model('usage', 'DirtyHour')
    mark.objects.bulk_create([mark(hour=hour) for hour in hours], ignore_conflicts=True)


class Migration(migrations.Migration):

    dependencies = [
        ('usage', '0002_attempt_details'),
    ]

    operations = [
        migrations.RunPython(_mark_all, migrations.RunPython.noop),
        migrations.DeleteModel(name='HourlyUsage'),
        migrations.CreateModel(
            name='HourlyUsage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('bucket', models.CharField(default=usage.models._unnamed, editable=False, help_text='Digest of all that the sums are by.', max_length=64)),
                ('pruned', models.BooleanField(default=False, help_text='Of attempts that retention removed since.')),
                ('key', models.CharField(max_length=120)),
                ('key_id', models.CharField(max_length=40)),
                ('team', models.CharField(blank=True, max_length=120)),
                ('end_user', models.CharField(blank=True, max_length=256)),
                ('model', models.CharField(max_length=200)),
                ('deployment', models.CharField(blank=True, max_length=300)),
                ('provider', models.CharField(blank=True, max_length=120)),
                ('task', models.CharField(blank=True, max_length=64)),
                ('status', models.CharField(choices=[('ok', 'ok'), ('failed', 'failed'), ('cancelled', 'cancelled'), ('interrupted', 'interrupted'), ('refused', 'refused'), ('cached', 'cached')], max_length=12)),
                ('requests', models.BigIntegerField(default=0)),
                ('prompt_tokens', models.BigIntegerField(default=0)),
                ('completion_tokens', models.BigIntegerField(default=0)),
                ('cached_tokens', models.BigIntegerField(default=0)),
                ('reasoning_tokens', models.BigIntegerField(default=0)),
                ('cost_nano', models.BigIntegerField(default=0)),
                ('estimated', models.BigIntegerField(default=0, help_text='Attempts whose tokens no provider counted.')),
                ('unpriced', models.BigIntegerField(default=0, help_text='Attempts at a deployment without a price.')),
                ('latency_ms', models.BigIntegerField(default=0, help_text='Sum over the requests; divide by them for the mean.')),
                ('ttft_ms', models.BigIntegerField(default=0, help_text='Sum; divide by ttft_count for the mean.')),
                ('ttft_count', models.BigIntegerField(default=0, help_text='Attempts whose first token was timed.')),
                ('hour', models.DateTimeField()),
            ],
            options={
                'verbose_name_plural': 'hourly usage',
                'ordering': ['-hour'],
            },
        ),
        migrations.CreateModel(
            name='DailyUsage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('bucket', models.CharField(default=usage.models._unnamed, editable=False, help_text='Digest of all that the sums are by.', max_length=64)),
                ('pruned', models.BooleanField(default=False, help_text='Of attempts that retention removed since.')),
                ('key', models.CharField(max_length=120)),
                ('key_id', models.CharField(max_length=40)),
                ('team', models.CharField(blank=True, max_length=120)),
                ('end_user', models.CharField(blank=True, max_length=256)),
                ('model', models.CharField(max_length=200)),
                ('deployment', models.CharField(blank=True, max_length=300)),
                ('provider', models.CharField(blank=True, max_length=120)),
                ('task', models.CharField(blank=True, max_length=64)),
                ('status', models.CharField(choices=[('ok', 'ok'), ('failed', 'failed'), ('cancelled', 'cancelled'), ('interrupted', 'interrupted'), ('refused', 'refused'), ('cached', 'cached')], max_length=12)),
                ('requests', models.BigIntegerField(default=0)),
                ('prompt_tokens', models.BigIntegerField(default=0)),
                ('completion_tokens', models.BigIntegerField(default=0)),
                ('cached_tokens', models.BigIntegerField(default=0)),
                ('reasoning_tokens', models.BigIntegerField(default=0)),
                ('cost_nano', models.BigIntegerField(default=0)),
                ('estimated', models.BigIntegerField(default=0, help_text='Attempts whose tokens no provider counted.')),
                ('unpriced', models.BigIntegerField(default=0, help_text='Attempts at a deployment without a price.')),
                ('latency_ms', models.BigIntegerField(default=0, help_text='Sum over the requests; divide by them for the mean.')),
                ('ttft_ms', models.BigIntegerField(default=0, help_text='Sum; divide by ttft_count for the mean.')),
                ('ttft_count', models.BigIntegerField(default=0, help_text='Attempts whose first token was timed.')),
                ('day', models.DateField()),
            ],
            options={
                'verbose_name_plural': 'daily usage',
                'ordering': ['-day'],
            },
        ),
        migrations.CreateModel(
            name='DroppedHour',
            fields=[
                ('hour', models.DateTimeField(primary_key=True, serialize=False)),
            ],
        ),
        migrations.AddIndex(
            model_name='hourlyusage',
            index=models.Index(fields=['key_id', 'hour'], name='hourly_usage_key'),
        ),
        migrations.AddConstraint(
            model_name='hourlyusage',
            constraint=models.UniqueConstraint(fields=('hour', 'bucket', 'pruned'), name='hourly_usage_once'),
        ),
        migrations.AddIndex(
            model_name='dailyusage',
            index=models.Index(fields=['key_id', 'day'], name='daily_usage_key'),
        ),
        migrations.AddConstraint(
            model_name='dailyusage',
            constraint=models.UniqueConstraint(fields=('day', 'bucket', 'pruned'), name='daily_usage_once'),
        ),
        # On the way back: the sums go with their tables, and are made again there and after a return.
        migrations.RunPython(migrations.RunPython.noop, _mark_all),
    ]
