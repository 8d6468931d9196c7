"""Exits and results in plain words."""

from __future__ import annotations

import pytest

from pysup.app import App
from pysup.explain import conclude, explain, said
from pysup.health import Ready, ReadyWhen
from pysup.names import InstanceName
from pysup.unit import ActiveState, Exit, Instance, Scope


def failed(end: Exit | None, result: str = "exit-code", restarts: int = 0) -> Instance:
    """An instance that failed."""
    return Instance(
        name=InstanceName("web", 0),
        scope=Scope.SYSTEM,
        active_state=ActiveState.FAILED,
        result=result,
        restarts=restarts,
        last_exit=end,
    )


def app(*command: str) -> App:
    """An app with that command."""
    return App(name="web", command=command)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (Exit(code=203), "could not be executed"),
        (Exit(code=127), "a command was not found"),
        (Exit(code=139), "ended by SIGSEGV"),
        (Exit(code=0), "ended by itself"),
        (Exit(signal=9), "SIGKILL"),
        (Exit(signal=11, dumped=True), "core dumped"),
        (Exit(code=77), "exit code 77"),
    ],
)
def test_each_end_has_words_and_a_remedy(end: Exit, words: str) -> None:
    """What happened, and what to try."""
    why = explain(failed(end, result="signal" if end.signal else "exit-code"))
    assert why
    assert words in why.what
    assert why.remedy


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (("/usr/bin/node", "a.js"), 1, "does not catch"),
        (("/usr/bin/node", "a.js"), 9, "one of its options"),
        (("/usr/bin/python3.11", "a.py"), 1, "exception"),
        (("/bin/sh", "a.sh"), 1, "exit code 1"),
    ],
)
def test_interpreters_have_codes_of_their_own(command: tuple[str, ...], code: int, words: str) -> None:
    """Node and Python say what they mean by their exit codes."""
    why = explain(failed(Exit(code=code)), app(*command))
    assert why
    assert words in why.what


def test_a_start_limit_tells_the_last_exit_too() -> None:
    """That systemd gave up is not the reason."""
    why = explain(failed(Exit(code=203), restarts=5))
    assert why
    assert "gave up" in why.what
    assert "could not be executed" in why.what


def test_few_restarts_are_not_a_start_limit() -> None:
    """It was stopped between two of them, or ended with a code that ends it for good."""
    why = explain(failed(Exit(code=3), restarts=2), app("/bin/false"))
    assert why
    assert why.what == "exit code 3"
    why = explain(failed(Exit(code=3), restarts=16), app("/bin/false"))
    assert why
    assert "gave up" in why.what


def test_what_nobody_asks_is_not_explained_by_a_question() -> None:
    """The line is of a former app of the same name, which was asked."""
    told = App(name="web", command=("/bin/sleep", "9"), ready=Ready(when=ReadyWhen.NOTIFY))
    why = conclude(failed(Exit(signal=15), result="timeout"), told, ["not ready: 127.0.0.1:9: Connection refused"])
    assert why
    assert "did not say READY=1" in why.what


def test_a_timeout_is_not_somebodys_signal() -> None:
    """systemd itself sent it."""
    why = explain(failed(Exit(signal=15), result="timeout"))
    assert why
    assert why.what == "it was not ready, or did not end, in time"


def test_what_was_stopped_needs_no_words() -> None:
    """Inactive with success is as it was wanted."""
    assert explain(Instance(name=InstanceName("web", 0), scope=Scope.USER)) is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Error: listen EADDRINUSE: address already in use :::3000", "port is taken"),
        ("OSError: [Errno 98] Address already in use", "port is taken"),
        ("Error: listen EACCES: permission denied 0.0.0.0:80", "may not use its port"),
        ("Error: Cannot find module 'express'", "Node module"),
        ("ModuleNotFoundError: No module named 'flask'", "Python module"),
        ("Error: ENOSPC: no space left on device, write", "disk is full"),
        ("FATAL ERROR: JavaScript heap out of memory", "no more memory"),
        ("connect ECONNREFUSED 127.0.0.1:6379", "does not answer"),
    ],
)
def test_last_lines_give_reasons_away(line: str, words: str) -> None:
    """The newest line that is known counts."""
    why = said(["up", line, "    at Module._compile"])
    assert why
    assert words in why.what


def test_unknown_lines_say_nothing() -> None:
    """No guessing."""
    assert said(["hello", ""]) is None
