"""Colours for dark and light terminals. Each text has a contrast of 4.5 or more on its background (WCAG AA)."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="pysup-dark",
    dark=True,
    primary="#6cb6ff",
    secondary="#b48ead",
    accent="#6cb6ff",
    success="#7ccf7c",
    warning="#f0b458",
    error="#ff7b72",
    foreground="#d5dbe3",
    background="#10141a",
    surface="#171d25",
    panel="#252e39",
    variables={"muted": "#8b97a6", "chosen": "#26466d", "footer-key-foreground": "#6cb6ff"},
)
LIGHT = Theme(
    name="pysup-light",
    dark=False,
    primary="#0a58b0",
    secondary="#7a3e9d",
    accent="#0a58b0",
    success="#17692f",
    warning="#8a4b00",
    error="#b3161f",
    foreground="#1c232c",
    background="#ffffff",
    surface="#f3f5f8",
    panel="#e2e7ed",
    variables={"muted": "#5a6572", "chosen": "#c9def7", "footer-key-foreground": "#0a58b0"},
)
