"""pysup: start apps once per CPU core and keep them running, by systemd."""

__version__ = "0.1.0"
