"""pysup.host.resolve turns what a user typed into a vector, byte for byte."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pysup import names
from pysup.errors import SpecError
from pysup.host import commandline, interpreters, shebang
from pysup.host.resolve import Resolved, resolve, suggest_name


class Desk:
    """A folder to type in, and a PATH of programs that exist only here."""

    def __init__(self, top: Path) -> None:
        self.cwd = top / "desk"
        self.bin = top / "bin"
        self.cwd.mkdir()
        self.bin.mkdir()

    def write(self, name: str, text: str | bytes = "", *, mode: int = 0o644) -> str:
        file = self.cwd / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        file.chmod(mode)
        return str(file)

    def install(self, *programs: str, text: str | bytes = b"\x7fELF\0") -> None:
        for program in programs:
            self.write(f"../bin/{program}", text, mode=0o755)

    def has(self, program: str) -> str:
        return str(self.bin / program)

    def resolve(self, target: str, *args: str, **options: object) -> Resolved:
        return resolve(target, args, cwd=self.cwd, path=str(self.bin), **options)  # type: ignore[arg-type]

    def refuse(self, target: str, *args: str, **options: object) -> SpecError:
        with pytest.raises(SpecError) as caught:
            self.resolve(target, *args, **options)
        assert caught.value.hint
        return caught.value


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def vector(resolved: Resolved) -> tuple[str, ...]:
    return resolved.interpreter + resolved.command


# --- programs -----------------------------------------------------------------------------------------------------


def test_program_on_path_becomes_absolute(desk: Desk) -> None:
    """systemd's PATH is not the caller's."""
    desk.install("redis-server")
    found = desk.resolve("redis-server", "--port", "7")
    assert found == Resolved(command=(desk.has("redis-server"), "--port", "7"), name="redis-server", cwd=str(desk.cwd))


@pytest.mark.parametrize("typed", ["./server", "server", "../desk/server", "././server"])
def test_program_by_path(desk: Desk, typed: str) -> None:
    """A path from where the caller is."""
    program = desk.write("server", b"\x7fELF\0", mode=0o755)
    assert vector(desk.resolve(typed)) == (program,)


def test_symbolic_links_stay(desk: Desk) -> None:
    """An upgrade that moves the link is then followed."""
    desk.install("node-22")
    (desk.bin / "node").symlink_to("node-22")
    assert vector(desk.resolve("node")) == (desk.has("node"),)


def test_dots_after_a_link_go_up_from_its_target(desk: Desk) -> None:
    """As the kernel walks: link/.. is the parent of what the link names."""
    desk.write("far/away/x", mode=0o755)
    program = desk.write("far/server", b"\x7fELF\0", mode=0o755)
    (desk.cwd / "link").symlink_to("far/away")
    assert vector(desk.resolve("link/../server")) == (program,)


def test_relative_and_empty_path_entries_become_absolute(desk: Desk) -> None:
    """An empty entry of PATH is the current directory: exec(3)."""
    tool = desk.write("tools/tool", b"\x7fELF\0", mode=0o755)
    here = desk.write("here", b"\x7fELF\0", mode=0o755)
    assert resolve("tool", cwd=desk.cwd, path="tools").command == (tool,)
    assert resolve("here --x", cwd=desk.cwd, path="").command == (here, "--x")


def test_file_here_goes_before_path_when_it_stands_alone(desk: Desk) -> None:
    """A target is a file first …"""
    desk.install("test")
    local = desk.write("test", "#!/bin/sh\n", mode=0o755)
    assert vector(desk.resolve("test")) == (local,)


def test_path_goes_first_in_a_command_line(desk: Desk) -> None:
    """… but a command line means what a shell would run, so that a file called node takes nothing over."""
    desk.install("node")
    desk.write("node", "#!/bin/sh\n", mode=0o755)
    assert vector(desk.resolve("node app.js")) == (desk.has("node"), "app.js")


def test_folder_named_like_a_program_does_not_hide_it(desk: Desk) -> None:
    """A project often has a folder called as its tool."""
    desk.install("redis")
    desk.write("redis/conf")
    assert vector(desk.resolve("redis")) == (desk.has("redis"),)


# --- scripts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "program"),
    [
        ("a.js", "node"),
        ("a.mjs", "node"),
        ("a.cjs", "node"),
        ("a.py", "python3"),
        ("a.rb", "ruby"),
        ("a.php", "php"),
        ("a.pl", "perl"),
        ("a.sh", "bash"),
        ("A.JS", "node"),
    ],
)
def test_interpreter_by_extension(desk: Desk, script: str, program: str) -> None:
    """A script without exec bit and shebang is known by its name."""
    desk.install(program)
    file = desk.write(script, "x")
    found = desk.resolve(script, "-v")
    assert (found.interpreter, found.command) == ((desk.has(program),), (file, "-v"))


@pytest.mark.parametrize("program", ["node", "ruby", "python3"])
def test_missing_interpreter_is_named_with_its_package(desk: Desk, program: str) -> None:
    """No interpreter on PATH: the remedy is a package, or a path."""
    script = {"node": "a.js", "ruby": "a.rb", "python3": "a.py"}[program]
    desk.write(script, "x")
    error = desk.refuse(script)
    assert repr(program) in error.message
    assert "apt install" in error.hint
    assert "--interpreter" in error.hint


def test_script_with_absolute_shebang_is_executed_itself(desk: Desk) -> None:
    """The kernel does it, arguments included."""
    file = desk.write("tool.py", "#!/bin/sh -e\n", mode=0o755)
    found = desk.resolve("tool.py", "x")
    assert (found.interpreter, found.command) == ((), (file, "x"))


def test_env_shebang_is_resolved_now(desk: Desk) -> None:
    """env(1) under systemd would look on systemd's PATH."""
    desk.install("node")
    file = desk.write("serve", "#!/usr/bin/env node\n", mode=0o755)
    assert vector(desk.resolve("./serve")) == (desk.has("node"), file)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("#!/usr/bin/env -S node --flag 'two words'", ["BIN/node", "--flag", "two words"]),
        ("#!/usr/bin/env -S  node", ["BIN/node"]),
        ("#!/usr/bin/env --split-string=node -x", ["BIN/node", "-x"]),
        ("#!/usr/bin/env -vS node -x", ["BIN/node", "-x"]),
        ("#!/bin/env node --flag", ["BIN/node", "--flag"]),
        ("#! /usr/bin/env\tnode  ", ["BIN/node"]),
        ("#!/usr/bin/env -S A=1 B=2 node -x", ["/usr/bin/env", "A=1", "B=2", "BIN/node", "-x"]),
    ],
)
def test_shebang_arguments_are_kept(desk: Desk, line: str, expected: list[str]) -> None:
    """In all the ways that env takes them."""
    desk.install("node")
    file = desk.write("serve", f"{line}\n", mode=0o755)
    assert vector(desk.resolve("serve")) == (*(word.replace("BIN", str(desk.bin)) for word in expected), file)


@pytest.mark.parametrize(
    "line", ["#!/usr/bin/env -i node", "#!/usr/bin/env -S ${NODE}", "#!/usr/bin/env -S 'x", "#!/usr/bin/env"]
)
def test_shebang_that_only_env_understands_is_refused(desk: Desk, line: str) -> None:
    """What it would run is known only there, so the user must say."""
    desk.write("serve", f"{line}\n", mode=0o755)
    assert "--interpreter" in desk.refuse("serve").hint


def test_unexecutable_script_uses_its_shebang(desk: Desk) -> None:
    """What the author wrote goes before what the name suggests."""
    file = desk.write("a.sh", "#!/bin/sh -e\n")
    desk.install("bash")
    assert vector(desk.resolve("a.sh")) == ("/bin/sh", "-e", file)


def test_shebang_of_a_missing_interpreter_falls_back_on_the_extension(desk: Desk) -> None:
    """A script written for /usr/local/bin/node, where node is elsewhere."""
    desk.install("node")
    file = desk.write("a.js", "#!/nowhere/node\n", mode=0o755)
    assert vector(desk.resolve("a.js")) == (desk.has("node"), file)


def test_shebang_of_a_missing_interpreter_is_an_error(desk: Desk) -> None:
    """Named: systemd would only say 203/EXEC."""
    desk.write("direct", "#!/nowhere/node\n", mode=0o755)
    desk.write("by-env", "#!/usr/bin/env nothere\n", mode=0o755)
    assert "'/nowhere/node'" in desk.refuse("direct").message
    assert "'nothere'" in desk.refuse("by-env").message


def test_relative_shebang_becomes_absolute(desk: Desk) -> None:
    """The kernel would look from the working directory of whoever starts it."""
    program = desk.write("bin/run", b"\x7fELF\0", mode=0o755)
    file = desk.write("a", "#!bin/run\n", mode=0o755)
    assert vector(desk.resolve("a")) == (program, file)


@pytest.mark.parametrize("line", ["#!/bin/sh\r\n", "#!/usr/bin/env node\r\n"])
@pytest.mark.parametrize("mode", [0o644, 0o755])
def test_windows_line_endings_are_named(desk: Desk, line: str, mode: int) -> None:
    """The kernel would say: no such file or directory."""
    desk.install("node")
    desk.write("a b.sh", line, mode=mode)
    error = desk.refuse("a b.sh")
    assert "Windows line endings" in error.message
    fix = error.hint.partition(": ")[2]
    subprocess.run(["/bin/sh", "-c", fix], check=True)
    assert desk.resolve("a b.sh").command == (str(desk.cwd / "a b.sh"),)


def test_shell_script_without_shebang_may_not_have_windows_line_endings(desk: Desk) -> None:
    """A shell chokes on them; Node and Python do not."""
    desk.install("bash", "node")
    desk.write("a.sh", "echo\r\n")
    desk.write("a.js", "1\r\n")
    assert "Windows line endings" in desk.refuse("a.sh").message
    desk.resolve("a.js")


def test_program_on_path_that_is_a_script_for_env_brings_its_interpreter(desk: Desk) -> None:
    """npm, pm2 and tsx are; Node from nvm is on no PATH of systemd's."""
    desk.install("node")
    desk.install("npm", text="#!/usr/bin/env node\n")
    found = desk.resolve("npm run start")
    assert vector(found) == (desk.has("node"), desk.has("npm"), "run", "start")


def test_scripts_that_run_each_other_end(desk: Desk) -> None:
    """An error, not a recursion."""
    desk.install("a", text="#!/usr/bin/env b\n")
    desk.install("b", text="#!/usr/bin/env a\n")
    assert "itself" in desk.refuse("a").message


# --- virtual environments -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [".venv", "venv", "src/.venv"])
def test_python_script_uses_the_venv_beside_or_above_it(desk: Desk, place: str) -> None:
    """Its Python is a link, and must stay one: that is how it finds its packages."""
    desk.install("python3")
    python = desk.cwd / place / "bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(desk.has("python3"))
    file = desk.write("src/deep/app.py", "x")
    assert vector(desk.resolve("src/deep/app.py")) == (str(python), file)


def test_venv_counts_for_an_env_shebang_and_not_for_an_absolute_one(desk: Desk) -> None:
    """``env python3`` means whichever is right; a path means that path."""
    desk.install("python3")
    python = desk.write(".venv/bin/python", b"\x7fELF\0", mode=0o755)
    asks = desk.write("asks.py", "#!/usr/bin/env python3\n", mode=0o755)
    says = desk.write("says.py", "#!/bin/sh\n", mode=0o755)
    assert vector(desk.resolve("asks.py")) == (python, asks)
    assert vector(desk.resolve("says.py")) == (says,)


def test_venv_above_the_current_directory_is_not_searched(desk: Desk) -> None:
    """It would be somebody else's project."""
    desk.install("python3")
    desk.write("../.venv/bin/python", b"\x7fELF\0", mode=0o755)
    desk.write("app.py", "x")
    assert desk.resolve("app.py").interpreter == (desk.has("python3"),)


def test_venv_beside_a_script_elsewhere(desk: Desk) -> None:
    """A script that is not below the current directory: only its own folder."""
    desk.install("python3")
    python = desk.write("../other/venv/bin/python", b"\x7fELF\0", mode=0o755)
    desk.write("../other/app.py", "x")
    assert Path(desk.resolve("../other/app.py").interpreter[0]).samefile(python)


# --- TypeScript ---------------------------------------------------------------------------------------------------


def node_of(version: str) -> str:
    return f"#!/bin/sh\necho {version}\n"


@pytest.mark.parametrize("version", ["v22.18.0", "v24.1.0"])
def test_new_node_runs_typescript(desk: Desk, version: str) -> None:
    """It strips types by itself from 22.18 on."""
    desk.install("node", text=node_of(version))
    desk.install("bun")
    desk.write("a.ts", "x")
    assert desk.resolve("a.ts").interpreter == (desk.has("node"),)


@pytest.mark.parametrize("other", ["bun", "tsx", "ts-node"])
def test_old_node_leaves_typescript_to_others(desk: Desk, other: str) -> None:
    """Whichever is there."""
    desk.install("node", text=node_of("v22.17.1"))
    desk.install(other)
    desk.write("a.ts", "x")
    assert desk.resolve("a.ts").interpreter == (desk.has(other),)


def test_typescript_without_anything_says_what_would_do(desk: Desk) -> None:
    """A Node that is too old, or does not even tell its version."""
    desk.install("node", text="#!/bin/sh\nexit 1\n")
    desk.write("a.ts", "x")
    assert "22.18" in desk.refuse("a.ts").hint


# --- the user's own interpreter -----------------------------------------------------------------------------------


def test_named_interpreter_wins(desk: Desk) -> None:
    """Over exec bit, shebang and extension; its arguments come before the script."""
    desk.install("deno")
    file = desk.write("a.js", "#!/bin/sh\n", mode=0o755)
    found = desk.resolve("a.js", "x", interpreter="deno", interpreter_args=("run", "-A"))
    assert vector(found) == (desk.has("deno"), "run", "-A", file, "x")


def test_interpreter_none_executes_the_file(desk: Desk) -> None:
    """PM2's word for it."""
    file = desk.write("a.js", "x", mode=0o755)
    assert vector(desk.resolve("a.js", interpreter="none")) == (file,)


def test_named_interpreter_must_be_there(desk: Desk) -> None:
    """By name or by path."""
    desk.write("a.js", "x")
    assert "not on PATH" in desk.refuse("a.js", interpreter="nothere").message
    assert "not there" in desk.refuse("a.js", interpreter="./nothere").message


def test_interpreter_arguments_go_to_the_one_that_was_found(desk: Desk) -> None:
    """By extension, and by a shebang that the kernel would else read."""
    desk.install("node")
    js = desk.write("a.js", "x")
    sh = desk.write("b", "#!/bin/sh -e\n", mode=0o755)
    assert vector(desk.resolve("a.js", interpreter_args=("--flag",))) == (desk.has("node"), "--flag", js)
    assert vector(desk.resolve("b", interpreter_args=("-x",))) == ("/bin/sh", "-e", "-x", sh)


def test_interpreter_arguments_need_an_interpreter(desk: Desk) -> None:
    """A binary has none."""
    desk.write("server", b"\x7fELF\0", mode=0o755)
    assert "no interpreter" in desk.refuse("server", interpreter_args=("--flag",)).message


# --- what cannot be run -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "suggested"),
    [("ap.js", "'app.js'"), ("./ap.js", "'app.js'"), ("src/mian.py", "'src/main.py'"), ("my ap.js", "'my app.js'")],
)
def test_misspelt_file_brings_a_suggestion(desk: Desk, typed: str, suggested: str) -> None:
    """From the files that are there."""
    for name in ("app.js", "src/main.py", "my app.js"):
        desk.write(name, "x")
    assert desk.refuse(typed).hint == f"Did you mean {suggested}?"


def test_missing_script_and_missing_program_are_told_apart(desk: Desk) -> None:
    """The one is a file here, the other could be on PATH too."""
    assert "there is no file 'x/y'" in desk.refuse("x/y").message
    assert "there is no file 'gone.py'" in desk.refuse("gone.py").message
    assert "nor a program on PATH" in desk.refuse("qqq").message


def test_folder_brings_the_file_in_it(desk: Desk) -> None:
    """``pysup start shop`` with shop/index.js."""
    desk.write("shop/index.js", "x")
    desk.write("empty/readme", "x")
    assert desk.refuse("shop").hint == "Did you mean 'shop/index.js'?"
    assert "is a directory" in desk.refuse("empty").message


def test_unexecutable_file_of_unknown_kind(desk: Desk) -> None:
    """The remedy can be typed as it stands."""
    file = desk.write("my server", b"\x7fELF\0")
    error = desk.refuse("my server")
    assert "not executable" in error.message
    assert f"chmod +x '{file}'" in error.hint


def test_executable_text_without_shebang(desk: Desk) -> None:
    """A shell would run it by itself, the kernel will not."""
    desk.write("serve", "echo hi\n", mode=0o755)
    assert "#!/bin/sh" in desk.refuse("serve").hint


def test_empty_program(desk: Desk) -> None:
    """As a build leaves it that ran out of disk."""
    desk.write("serve", "", mode=0o755)
    assert "is empty" in desk.refuse("serve").message


def test_dangling_link_and_odd_files(desk: Desk) -> None:
    """Each says what it is."""
    (desk.cwd / "dangling").symlink_to("gone")
    os.mkfifo(desk.cwd / "fifo")
    (desk.cwd / "loop").symlink_to("loop")
    assert "a link to 'gone'" in desk.refuse("dangling").message
    assert "not a regular file" in desk.refuse("fifo").message
    assert "cannot be reached" in desk.refuse("loop").message


@pytest.mark.parametrize("typed", ["", "  ", "''", "a\0b"])
def test_empty_and_impossible_commands(desk: Desk, typed: str) -> None:
    """There is nothing to run."""
    desk.refuse(typed)


def test_a_path_that_the_kernel_refuses_is_not_a_crash(desk: Desk) -> None:
    """On PATH it is passed by (su leaves root's folders there); as a target it is said why."""
    desk.install("tool")
    (desk.cwd / "loop").symlink_to("loop")
    assert resolve("tool", cwd=desk.cwd, path=f"/{'x' * 300}:loop:{desk.bin}").command == (desk.has("tool"),)
    assert "File name too long" in desk.refuse("x" * 300).message
    assert "Too many levels" in desk.refuse("loop/x.js").message
    with pytest.raises(SpecError, match="Too many levels"):
        resolve("tool", cwd=desk.cwd / "loop", path="")


@pytest.mark.systemd_user
def test_working_directory_that_one_may_not_enter(tmp_path: Path) -> None:
    """``su alice -c 'pysup start …'`` from root's home."""
    tmp_path.chmod(0)
    with pytest.raises(SpecError, match="may not be entered"):
        resolve("true", cwd=tmp_path, path="/usr/bin")
    tmp_path.chmod(0o700)


def test_missing_working_directory(desk: Desk) -> None:
    """Named before anything else."""
    with pytest.raises(SpecError, match="there is no directory"):
        resolve("true", cwd=desk.cwd / "gone", path="/bin")


# --- command lines ------------------------------------------------------------------------------------------------


def test_command_line_is_split(desk: Desk) -> None:
    """Quotes as in a shell; what comes after -- is added."""
    desk.install("redis-server")
    found = desk.resolve("""redis-server --name 'two words' "it's" a\\ b""", "--port", "1")
    assert found.command == (desk.has("redis-server"), "--name", "two words", "it's", "a b", "--port", "1")


def test_script_in_a_command_line_finds_its_interpreter(desk: Desk) -> None:
    """``pysup start "app.js --port 3"``."""
    desk.install("node")
    file = desk.write("app.js", "x")
    assert vector(desk.resolve("app.js --port 3")) == (desk.has("node"), file, "--port", "3")


@pytest.mark.parametrize(
    "line",
    [
        "a | b",
        "a; b",
        "a && b",
        "a > out",
        "a < in",
        "echo $(date)",
        "echo `date`",
        "node app.js --port $PORT",
        'echo "$HOME"',
        "ls *.js",
        "PORT=1 node app.js",
        "cd src && node app.js",
        "exec node app.js",
        "a\nb",
        "~/bin/x --flag",
        "a #b",
        "a \\\nb",
    ],
)
def test_shell_syntax_goes_to_the_shell_as_it_is(desk: Desk, line: str) -> None:
    """Byte for byte, with a note."""
    found = desk.resolve(line)
    assert vector(found) == ("/bin/sh", "-c", line)
    assert "exec" in found.note


@pytest.mark.parametrize("line", ["x 'a|b;c&d>e<f$(g)`h`*'", 'x "a|b;c&d>e<f*"', "x a\\|b a\\$b", "x a~b a#b a=b"])
def test_quoted_shell_syntax_needs_no_shell(desk: Desk, line: str) -> None:
    """It is text there."""
    desk.install("x")
    assert vector(desk.resolve(line)) == (desk.has("x"), *shlex.split(line)[1:])


def test_shell_line_takes_neither_arguments_nor_interpreter(desk: Desk) -> None:
    """There is no place for them that would be right."""
    assert "after --" in desk.refuse("a | b", "c").message
    assert "needs a shell" in desk.refuse("a | b", interpreter="node").message


def test_quote_that_does_not_end(desk: Desk) -> None:
    """Said with the quote."""
    assert "nothing closes" in desk.refuse("echo 'a").message
    assert "nothing closes" in desk.refuse('echo "a').message


def test_file_with_blanks_and_quotes_is_a_file(desk: Desk) -> None:
    """What names a file is not taken apart."""
    desk.install("node")
    file = desk.write("it's $HOME; x.js", "x")
    assert vector(desk.resolve("it's $HOME; x.js")) == (desk.has("node"), file)


# --- byte for byte ------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
SH = shutil.which("sh") or "/bin/sh"


@given(st.lists(TEXT), st.lists(TEXT))
@example(["", " ", "\n", "'", '"', "\\", "$x", "%i", "é\u2028", "-"], ["--", "a b"])
def test_arguments_arrive_byte_for_byte(words: list[str], args: list[str]) -> None:
    """Quoted in the line, or given after --: never read twice."""
    line = shlex.join(["printf", *words])
    found = resolve(line, args, cwd="/", path="/usr/bin")
    assert vector(found) == ("/usr/bin/printf", *words, *args)


PIECES = [*"abc é-=%!{}:@^+\r\t\\'\"", " ", "'x y'", '"x y"', "\\ ", *"|&;<>()$`*?[]~#\n"]


@given(st.lists(st.sampled_from(PIECES[:24])).map("".join) | st.lists(st.sampled_from(PIECES)).map("".join))
@example('a "b\\$c" \\\\ "\\x"')
@example("a\\")
@example('a "x\\\ny"')
def test_words_are_those_of_the_shell(line: str) -> None:
    """Whatever is split here, sh(1) would have split alike."""
    try:
        words = commandline.words(line)
    except SpecError:
        words = None
    if words:
        printed = subprocess.run(
            [SH, "-c", "printf '%s\\0' " + line.strip(" \t\n")], capture_output=True, check=True, cwd="/"
        )
        assert printed.stdout.decode().split("\0")[:-1] == words


@given(st.lists(TEXT, min_size=1, max_size=4))
@example(["/x/" + "a" * 300 + ".js"])
@example(["node", "--", "é.js"])
@example(["...js"])
def test_suggested_names_are_valid(words: list[str]) -> None:
    """Whatever the command is called."""
    assert names.NAME.fullmatch(suggest_name(words))


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["/srv/shop/index.js"], "index"),
        (["redis-server", "--port"], "redis-server"),
        (["node", "src/web.js"], "web"),
        (["python3", "-m", "http.server"], "http.server"),
        (["/x/.venv/bin/python", "-u", "job.py"], "job"),
        (["node"], "node"),
        (["my app.v2.js"], "my-app.v2"),
        (["tool.bin"], "tool.bin"),
        (["_-_"], "app"),
        (["über.py"], "uber"),
        (["日本.py"], "app"),
        (["a€b.py"], "a-b"),
    ],
)
def test_name_is_the_base_name_without_extension(words: list[str], name: str) -> None:
    """As PM2 has it, made valid."""
    assert suggest_name(words) == name


@pytest.mark.parametrize(
    ("line", "name"), [("cd src && node web.js", "web"), ("exec server --x > log", "server"), ("PORT=1 x", "x")]
)
def test_shell_line_is_named_by_what_it_runs(desk: Desk, line: str, name: str) -> None:
    """As far as one can see."""
    assert desk.resolve(line).name == name


# --- on this machine ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["#!/usr/bin/env -S printf '%s|' 'a b'", "#!/usr/bin/env -S X=1 printf %s|"])
def test_env_shebang_does_what_the_kernel_and_env_do(desk: Desk, text: str) -> None:
    """The same output as running the script in a shell."""
    script = desk.write("script", f"{text}\n", mode=0o755)
    resolved = resolve("./script", ["x y"], cwd=desk.cwd, path="/usr/bin:/bin")
    ours = subprocess.run(vector(resolved), capture_output=True, check=True).stdout
    assert ours == subprocess.run([script, "x y"], capture_output=True, check=True).stdout


def test_every_extension_has_a_program() -> None:
    """The table is whole, and small letters."""
    assert all(programs and kind == kind.lower() for kind, programs in interpreters.BY_EXTENSION.items())


@pytest.mark.parametrize("head", [b"", b"\x7fELF", b"#", b"#!", b"#!\n", b"#! \t \n"])
def test_no_shebang(head: bytes) -> None:
    """Nothing that names an interpreter."""
    assert shebang.parse(head, Path("x")) is None
