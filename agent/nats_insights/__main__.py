"""The command line: `nats-insights`, or `python -m nats_insights`.

Exit codes: 0 ok, 1 warning, 2 critical, 3 unknown or failed. A failure prints one sentence.
"""

from __future__ import annotations

try:
    import argparse
    import os
    import signal
    import sys
    from collections.abc import Collection, Coroutine, Sequence
    from importlib import import_module
    from typing import Any, NoReturn

    from nats_insights import __version__
    from nats_insights.errors import InsightsError
    from nats_insights.text import nearest, plain
except KeyboardInterrupt:  # These take a moment too, in which Ctrl-C is no error.
    raise SystemExit(130) from None

# Modules of `commands`, in the order of the help. Each is imported only when it is asked for:
# `--version` and `--help` import none.
COMMANDS = (
    *("run", "check", "demo", "watch", "findings", "history", "status", "servers"),
    *("evaluate", "forget", "mute", "unmute"),
    *("checks", "explain", "doctor", "permissions", "assets", "schemas", "help"),
    "docs",
)
# For maintainers: the help of the program does not list them.
UNLISTED = ("docs",)
COULD_NOT_TELL = 3
STOPPED_BY = 128


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors exit with 3: argparse's 2 would mean critical."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """An unknown option is refused here: the parser of the command knows what is near."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            # What follows an option may be a secret.
            word = unknown[0].partition("=")[0]
            near = nearest(word, self._option_string_actions)
            hint = f", did you mean {near}?" if near else ""
            kind = "option" if word.startswith("-") else "argument"
            self.error(f"there is no {kind} {word!r}{hint}")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        self.exit(COULD_NOT_TELL, f"{self.prog}: {plain(message)}; see {self.prog} --help\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """An unknown word is refused with the nearest known one."""
        known = [str(choice) for choice in action.choices or (value,)]
        if str(value) not in known:
            near = nearest(str(value), known)
            hint = f"did you mean {near}?" if near else f"known are {', '.join(known)}"
            raise argparse.ArgumentError(action, f"there is no {str(value)!r}, {hint}")


def parser(complete: Collection[str] = COMMANDS) -> Parser:
    """All commands; with their options those of `complete`, whose modules are imported."""
    top = Parser(
        prog="nats-insights",
        description="Audits a NATS system from its system account and publishes findings.",
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    below = top.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=Parser
    )
    for name in COMMANDS:
        title = _title(name)
        if name in UNLISTED:
            command = below.add_parser(name, description=title)
        else:
            command = below.add_parser(name, description=title, help=title)
        if name in complete:
            module = import_module(f"nats_insights.commands.{name}")
            module.options(command)
            command.set_defaults(run=module.run, parser=parser)
    return top


def _title(command: str) -> str:
    """The first line of a command's docstring, read without importing its module."""
    path = os.path.join(os.path.dirname(__file__), "commands", f"{command}.py")
    with open(path, encoding="utf-8") as file:
        return file.readline().strip().strip('"')


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        top = parser(set(given))
        if not given:
            top.print_help()
            return COULD_NOT_TELL
        args = top.parse_args(given)
        code = _loop(args.run(args))
        sys.stdout.flush()
        return code
    except InsightsError as error:
        print(f"nats-insights: {plain(str(error))}", file=sys.stderr)
        return COULD_NOT_TELL
    except BrokenPipeError:  # The reader of our output has closed it.
        _give_up_output()
        return STOPPED_BY + signal.SIGPIPE
    except OSError as error:
        _give_up_output()
        print(f"nats-insights: cannot write the output: {error.strerror}", file=sys.stderr)
        return COULD_NOT_TELL
    except KeyboardInterrupt:
        return STOPPED_BY + signal.SIGINT


def _give_up_output() -> None:
    # Python would try to write the rest at exit, and complain once more.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _loop(command: Coroutine[Any, Any, int]) -> int:
    import asyncio  # Not for `--version`: it takes as long as all the rest of that.

    try:
        import uvloop
    except ImportError:
        return asyncio.run(command)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(command)


if __name__ == "__main__":
    sys.exit(main())
