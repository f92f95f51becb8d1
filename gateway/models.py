"""What the gateway remembers about itself."""

from django.db import models


class ImportedFile(models.Model):
    """A config file as it was last imported: an unchanged one is not imported again at start.

    `sha256` covers the included files and the variables whose values were taken while reading.
    """

    path = models.CharField(max_length=1000, unique=True)
    sha256 = models.CharField(max_length=64)
    imported_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["path"]

    def __str__(self) -> str:
        return self.path
