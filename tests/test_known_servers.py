"""Servers that pysup knows: recognised by name, told of their sockets, stopped by their signal; others left alone."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

import apps
from pysup import servers
from pysup.app import App, Ready, ReadyWhen
from pysup.errors import SpecError
from pysup.explain import conclude
from pysup.listen import Listen
from pysup.names import InstanceName
from pysup.render import render
from pysup.unit import ActiveState, Exit, Instance, Scope

FILE = "/run/pysup-web.launch"


def listening(*words: str, **fields: object) -> App:
    """An app that listens on a port."""
    return apps.app(command=words, listen=(Listen(address="[::1]:80"),), **fields)


@pytest.mark.parametrize(
    ("words", "launched"),
    [
        (("/v/bin/python3.11", "-m", "uvicorn", "a:b"), ("/v/bin/python3.11", FILE, "uvicorn", "a:b")),
        (("/v/bin/python", "/v/bin/gunicorn", "a:b"), ("/v/bin/python", FILE, "/v/bin/gunicorn", "a:b")),
        (("/v/bin/hypercorn", "a:b"), ("/bin/sh", "-c", servers._BY_ITS_INTERPRETER, FILE, "/v/bin/hypercorn", "a:b")),
    ],
)
def test_servers_of_python_are_run_by_the_launcher(words: tuple[str, ...], launched: tuple[str, ...]) -> None:
    """With the interpreter that is theirs."""
    assert servers.argv(listening(*words), words, FILE) == launched


@pytest.mark.parametrize("words", [("/usr/bin/uvicornish", "a:b"), ("/usr/bin/python3", "uvicorn.txt"), ("/bin/env",)])
def test_other_programs_are_left_as_they_are(words: tuple[str, ...]) -> None:
    """A name must be just a server's."""
    app = listening(*words)
    assert servers.argv(app, words, FILE) == words
    assert (servers.environment(app), servers.stop_signal(app), servers.is_launched(app)) == ((), "SIGTERM", False)


def test_who_does_not_listen_is_left_alone_too() -> None:
    """A server on a port of its own needs nothing."""
    app = apps.app(command=("/usr/bin/unicorn",))
    assert (servers.argv(app, app.argv, FILE), servers.stop_signal(app)) == (("/usr/bin/unicorn",), "SIGTERM")


def test_puma_is_told_once_to_take_its_sockets() -> None:
    """Behind Ruby, or Bundler, too."""
    for words in (("/usr/bin/puma",), ("/usr/bin/bundle", "exec", "puma"), ("/usr/bin/ruby3.1", "/usr/bin/puma")):
        told = (*words, "--bind-to-activated-sockets", "only")
        assert servers.argv(listening(*words), words, FILE) == told
        assert servers.argv(listening(*told), told, FILE) == told


@pytest.mark.parametrize(
    ("program", "variable"),
    [("/usr/sbin/php-fpm8.2", ("FPM_SOCKETS", "[::1]:80=3")), ("/usr/sbin/nginx", ("NGINX", "3;"))],
)
def test_some_are_told_by_a_variable_and_stopped_by_another_signal(program: str, variable: tuple[str, str]) -> None:
    """Which says the descriptors; SIGTERM has them drop what they do."""
    app = listening(program)
    assert (servers.environment(app), servers.stop_signal(app)) == ((variable,), "SIGQUIT")
    assert servers.stop_signal(listening(program, stop_signal="SIGINT")) == "SIGINT"


def test_sockets_block_for_those_that_wait_in_accept() -> None:
    """PHP-FPM's workers would end; all others must not wait there."""
    for program, blocks in (("/usr/sbin/php-fpm8.2", "no"), ("/usr/sbin/nginx", "yes")):
        text = render(listening(program), apps.MACHINE, "/run").files["pysup-web@.service"].text
        assert f"\nNonBlocking={blocks}\n" in text


def test_the_launcher_is_written_beside_the_units() -> None:
    """Only for those that it runs."""
    for words, is_there in ((("/v/bin/uvicorn", "a:b"), True), (("/v/bin/puma",), False)):
        assert ("pysup-web.launch" in render(listening(*words), apps.MACHINE, "/run").files) is is_there


@pytest.mark.parametrize("program", ["/usr/bin/node", "/v/bin/gunicorn", "/usr/sbin/php-fpm8.2"])
def test_programs_that_tell_are_waited_for(program: str) -> None:
    """With --listen; others have half a second to survive."""
    assert servers.usual_ready(listening(program)) == Ready(when=ReadyWhen.NOTIFY)
    assert servers.usual_ready(apps.app(command=(program,))) == Ready()
    assert servers.usual_ready(listening("/usr/bin/puma")) == Ready()


@pytest.mark.parametrize(
    "words",
    [
        ("/usr/bin/php", "-S", "0.0.0.0:80"),
        ("/v/bin/flask", "--app", "x", "run"),
        ("/v/bin/python", "-m", "http.server"),
        ("/v/bin/python", "/srv/manage.py", "runserver"),
    ],
)
def test_what_cannot_take_a_socket_is_refused(words: tuple[str, ...]) -> None:
    """With what to do instead; on a port of their own they run."""
    with pytest.raises(SpecError, match="cannot serve a socket") as caught:
        render(listening(*words), apps.MACHINE, "/run")
    assert "--port" in (caught.value.hint or "")
    render(apps.app(command=words, port=9000), apps.MACHINE, "/run")


def test_who_is_told_of_descriptors_can_have_one() -> None:
    """systemd does not say in which order there are several."""
    two = (Listen(address="80"), Listen(address="81"))
    for program, is_refused in (("/usr/sbin/nginx", True), ("/v/bin/gunicorn", False)):
        with pytest.raises(SpecError, match="one socket only") if is_refused else nullcontext():
            servers.check(apps.app(command=(program,), listen=two))


def test_a_server_that_removes_its_socket_cannot_share_it() -> None:
    """PHP-FPM, when it ends."""
    with pytest.raises(SpecError, match="cuts the others off"):
        servers.check(apps.app(command=("/usr/sbin/php-fpm8.2",), listen=(Listen(address="/run/x"),)))


def test_a_port_that_systemd_holds_is_not_somebody_elses() -> None:
    """A program that opens the app's own port is told to take it over."""
    one = Instance(
        name=InstanceName("web", 0),
        scope=Scope.SYSTEM,
        active_state=ActiveState.FAILED,
        sub_state="failed",
        result="exit-code",
        last_exit=Exit(code=1),
    )
    why = conclude(one, listening("/bin/own"), ["OSError: [Errno 98] Address already in use"])
    assert why
    assert "systemd" in why.what
    assert "--port" in why.remedy
