"""typer, with commands that are imported when they are called, and plain help with sections and examples.

Methods of typer's classes are overridden with all their parameters, needed or not.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_command_from_info
from typer.models import CommandInfo

from pysup import revisions
from pysup.cli import commands, options, output
from pysup.cli.options import Scopes
from pysup.cli.version import version as print_version
from pysup.errors import SpecError

if TYPE_CHECKING:
    from typer import _click as click

_EXAMPLES = "\n\nExamples:\n"


class Command(TyperCommand):
    """A command whose help has its options in sections (``rich_help_panel=``) and its examples as they stand."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the text, and then the examples."""
        text, _, examples = (self.help or "").partition(_EXAMPLES)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(text)
        if examples:
            with formatter.section("Examples"):
                lines = inspect.cleandoc(examples).splitlines()
                formatter.write("".join(f"{'':>{formatter.current_indent}}{line}\n" for line in lines))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write arguments, then options by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record:
                usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
                sections.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(record)
        general = sections.pop("Options", [])
        for title, records in {**sections, "Options": general}.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def get_short_help_str(self, limit: int = 45) -> str:  # noqa: ARG002
        """Its line in a list of commands."""
        return (self.help or "").partition("\n")[0]


class WithArguments(Command):
    """A command to which the words behind ``--`` come apart from the others, as the parameter ``arguments``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Cut the words off before options are looked for."""
        cut = args.index("--") if "--" in args else len(args)
        rest = super().parse_args(ctx, args[:cut])
        ctx.params["arguments"] = tuple(args[cut + 1 :])
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Show them in the usage line."""
        return [*super().collect_usage_pieces(ctx), "[-- ARGS...]"]


class Group(TyperGroup):
    """All commands: known by their rows, loaded when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Every name, in the table's order."""
        return list(commands.TABLE)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Something with the command's name and help, to be shown; ``resolve_command`` gives the real one."""
        row = commands.TABLE.get(cmd_name)
        return Command(row.name, help=row.help, rich_markup_mode=None) if row else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called, loaded."""
        name, *rest = commands.expand(args)
        row = commands.TABLE.get(name)
        if row is not None:
            revisions.explain(f"pysup {name}")
            return name, build(row), rest
        if ctx.resilient_parsing:
            return None, None, rest
        raise SpecError(f"there is no command {name!r}", hint=_suggestion(name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands by what they are for."""
        for title in dict.fromkeys(row.group for row in commands.ROWS):
            with formatter.section(title):
                formatter.write_dl([(row.name, row.help) for row in commands.ROWS if row.group == title])

    format_help_text = Command.format_help_text


def build(row: commands.Row) -> click.Command:
    """The command of a row, imported."""
    found = commands.load(row.place)
    if isinstance(found, typer.Typer):
        found.rich_markup_mode = None
        found._add_completion = False
        for info in found.registered_commands:
            info.cls = info.cls if info.cls and issubclass(info.cls, Command) else Command
        family = get_command(found)
        family.name = row.name
        family.help = family.help or row.help
        return family
    info = CommandInfo(row.name, cls=Command, callback=found)  # type: ignore[arg-type]
    return get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode=None)


def run(words: Sequence[str]) -> int:
    """Parse, load the command, call it; usage errors become SpecError. Returns the exit code."""
    try:
        code = get_command(_root).main(list(words), prog_name="pysup", standalone_mode=False)
    except Exception as exc:
        if not _is_usage_error(exc):
            raise
        raise _translated(exc) from exc
    return code if isinstance(code, int) else 0


def _is_usage_error(exc: Exception) -> bool:
    # By name: until 0.25 typer uses click, since then a copy of its own.
    return any(kind.__name__ == "ClickException" for kind in type(exc).__mro__)


def _translated(exc: Any) -> SpecError:
    context, message = exc.ctx, exc.format_message().rstrip(".")
    if type(exc).__name__ == "NoArgsIsHelpError":
        output.echo(message)
        return SpecError("no command given", hint="Try one of those above.")
    path = context.command_path if context else "pysup"
    return SpecError(message[:1].lower() + message[1:], hint=f"{path} --help shows what there is.")


def _suggestion(name: str) -> str:
    from difflib import get_close_matches  # an error's cost only

    near = get_close_matches(name, [*commands.TABLE, *commands.ALIASES], n=1)
    return f"Did you mean {near[0]!r}?" if near else "pysup --help shows all commands."


_root = typer.Typer(
    name="pysup",
    cls=Group,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print_version()
        raise typer.Exit


@_root.callback()
def _pysup(
    scope: Scopes = None,
    version: Annotated[  # noqa: ARG001 (its callback has all that is to be done)
        bool,
        typer.Option("--version", "-V", "-v", help="Print the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Start apps, once per CPU core if you like, and keep them running: PM2's comfort, on systemd.

    Examples:
      pysup start app.js -i max            one instance per CPU
      pysup start api.py --per-core        each pinned to a CPU of its own
      pysup list
      pysup logs api
      pysup save && pysup startup          back after a reboot
    """
    options.before_the_command = scope
