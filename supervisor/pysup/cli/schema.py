"""``pysup schema``."""

from __future__ import annotations

from pysup.cli import output


def schema() -> None:
    """Print the JSON Schema of pysup.toml, for editors that complete and check by one.

    Examples:
      pysup schema > pysup.schema.json
      sed -i '1i #:schema ./pysup.schema.json' pysup.toml
    """
    from pathlib import Path

    from pysup.files import schema

    output.echo(Path(schema.__file__).with_name(schema.FILE).read_text().rstrip())
