"""Other tools' files -> documents of pysup's."""
