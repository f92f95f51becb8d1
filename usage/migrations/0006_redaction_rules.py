from django.db import migrations

RULES = [
    ("E-mail addresses", r"[\w.+-]{1,64}+@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}", "[e-mail]"),
    ("Card numbers", r"(?<!\d)(?:\d[ -]?){12,18}\d(?!\d)", "[card]"),
    (
        "API keys",
        r"(?<![A-Za-z0-9])(?:sk|pk|rk|gh[opsu]|xox[abp]|AKIA|AIza)[-_A-Za-z0-9]{16,200}",
        "[key]",
    ),
]


def make(apps, schema_editor):
    """Ready to be switched on; what of it fits is for the operator to say."""
    rules = apps.get_model("usage", "RedactionRule")
    for name, pattern, replacement in RULES:
        rules.objects.get_or_create(
            name=name, defaults={"pattern": pattern, "replacement": replacement, "enabled": False}
        )


class Migration(migrations.Migration):

    dependencies = [("usage", "0005_exchanges")]

    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
