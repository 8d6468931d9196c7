"""The terminal dashboard, ``pysup monit``; what it looks at serves ``pysup top`` and ``pysup list --watch``, too.

Pure are ``picture``, ``history``, ``rows``, ``columns``, ``spark`` and ``loglines``. ``feed``, ``machine``, ``follow``
look at the machine; the rest is Textual (the extra ``tui``), which nothing here imports but what draws.
"""
