"""One file that says it all: ``pysup.toml``, the same as YAML or JSON, or another tool's file that ``convert`` reads.

``source`` reads text into plain data and knows lines; ``appkeys`` says what each key of an app may be, of the ``kinds``
of values that there are; ``schema`` makes the JSON Schema of it by which files are validated; ``document`` merges, and
makes apps of it. Errors come all at once.
"""
