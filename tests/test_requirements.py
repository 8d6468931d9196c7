"""The document of what pysup needs is made from the table that it asks."""

from __future__ import annotations

import requirements
from pysup.host import features
from pysup.unit import Scope


def test_the_document_shows_the_table_that_is_asked() -> None:
    """If it does not: .venv/bin/python scripts/requirements.py."""
    assert requirements.DOCUMENT.read_text() == requirements.written()


def test_each_feature_is_in_the_table_once() -> None:
    """With what it needs of systemd."""
    rows = requirements.table().splitlines()[2:]
    assert len(rows) == len({row.split("|")[1] for row in rows}) == len(features.FEATURES)
    assert features.since("LoadCredentialEncrypted") < features.since("LoadCredentialEncrypted", Scope.USER)
