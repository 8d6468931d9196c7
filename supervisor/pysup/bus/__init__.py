"""The only door to D-Bus: calls are data, made in ``systemd1`` and carried by one of two connections."""
