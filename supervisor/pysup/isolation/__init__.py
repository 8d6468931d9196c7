"""Isolation in systemd's words: which directives a level means, what an app needs all the same, what was denied.

All of it is pure: ``table`` has the levels, ``lines`` makes directives of them, ``findings`` reads what a trial said.
"""
