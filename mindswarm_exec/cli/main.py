"""The entry point: finds the command, runs it, and turns whatever went wrong into a sentence and an exit code."""

from __future__ import annotations

import difflib
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from mindswarm_exec.cli import exits
from mindswarm_exec.cli.contents import ROWS, SECTIONS
from mindswarm_exec.errors import MindSwarmError

_EPILOG = f"""\b
Environment:
  MINDSWARM_API_URL    where the API is (http://127.0.0.1:8420)
  MINDSWARM_API_KEY    the key to present to it
  MINDSWARM_REDIS_URL  the ledger; unset: an embedded Valkey under MINDSWARM_DATA_DIR (.mindswarm)

{exits.help_text()}"""


class Contents(click.Group):
    """The group of all commands; imports a command's module only when the command is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(ROWS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        row = ROWS.get(cmd_name)
        if row is None:
            return None
        module, _, attribute = row.place.partition(":")
        command: click.Command = getattr(importlib.import_module(f"mindswarm_exec.cli.{module}"), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in ROWS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], ROWS, 1)
            hint = f" Did you mean '{near[0]}'?" if near else " `mindswarm-exec --help` lists them."
            raise click.UsageError(f"there is no command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, rows in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(row.name, row.help) for row in rows])


@click.group(cls=Contents, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mindswarm-exec", message="%(prog)s %(version)s")
def cli() -> None:
    """Run agents' work on Celery and Redis, and follow every step of it.

    \b
    mindswarm-exec up --agent words:counter     everything on this machine, with the agent in words.py
    mindswarm-exec start words.count '["to be or not"]' --watch
    mindswarm-exec watch                        what happens, as it happens
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `mindswarm-exec` and exit with one of `exits.EXITS`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(given))


def run(arguments: list[str]) -> int:
    """Run one command and answer its exit code. Nothing that it meets becomes a traceback."""
    try:
        code = cli.main(arguments, prog_name="mindswarm-exec", standalone_mode=False)
        return code if isinstance(code, int) else exits.OK.code
    except (click.ClickException, click.Abort, KeyboardInterrupt, Exception) as error:  # noqa: BLE001
        return _explain(error, as_json="--json" in arguments)


def _explain(error: BaseException, as_json: bool) -> int:
    from mindswarm_exec.cli.screen import ReaderLeft, Screen  # Rich takes its time to import

    screen = Screen(as_json)
    match error:
        case ReaderLeft():
            return _reader_has_left()
        case click.exceptions.Exit():
            return error.exit_code
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            return exits.INVALID.code
        case click.Abort() | KeyboardInterrupt():
            return screen.fail(KeyboardInterrupt(), "interrupted").code
        case click.ClickException():
            return screen.fail(_as_invalid(error)).code
        case MindSwarmError():
            return screen.fail(error).code
    if os.environ.get("MINDSWARM_TRACEBACK"):
        raise error
    told = f"unexpected {type(error).__name__}: {error}. MINDSWARM_TRACEBACK=1 shows where."
    return screen.fail(error, told).code


def _as_invalid(error: click.ClickException) -> MindSwarmError:
    from mindswarm_exec.errors import InvalidRequest

    told = error.format_message()
    context = getattr(error, "ctx", None)
    if isinstance(error, click.UsageError) and context is not None and context.info_name and context.parent:
        told += f" `{context.command_path} --help` shows what it takes."
    return InvalidRequest(told[:1].lower() + told[1:])


def _reader_has_left() -> int:
    """Answer as a program that SIGPIPE ended, which is what shells expect of the left side of `| head`."""
    # Python would complain once more when it flushes at exit
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE


if __name__ == "__main__":
    main()
