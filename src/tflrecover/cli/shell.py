"""What all commands have in common: exit codes, one line of trouble, where reports go."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec

import typer

from tflrecover.errors import MappingError, TFLRecoverError
from tflrecover.render.text import full as full_text
from tflrecover.render.values import safe
from tflrecover.saving import require_folder, require_place
from tflrecover.stages import progress

if TYPE_CHECKING:
    from tflrecover.render.selection import Selection
    from tflrecover.report import Report

_LOG = logging.getLogger("tflrecover")

# What the shell is told.
SAME, DIFFERENT, TROUBLE = 0, 1, 2

# As a shell reports a program that a signal ended: 128 + SIGINT, 128 + SIGPIPE.
INTERRUPTED, READER_GONE = 130, 141

# How lines begin in which native code tells what it does: `INFO: Created TensorFlow Lite XNNPACK delegate for CPU.`
_NOISE = re.compile(rb"INFO: |I\d{4} |WARNING: All log messages before absl::InitializeLog\(\)")
_LONGEST = 1.0  # second

P = ParamSpec("P")


def exits(command: Callable[P, int]) -> Callable[P, None]:
    """The command's number becomes the exit code; what goes wrong becomes one line and ``TROUBLE``."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = command(*args, **kwargs)
        except MappingError as error:
            code = _trouble(*map(str, error.several or (error,)))
        except TFLRecoverError as error:
            code = _trouble(str(error))
        except BrokenPipeError:
            # What is still buffered must not be written at exit: that would fail again, with 1, "different".
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = READER_GONE
        except OSError as error:
            # Of two names the first is that of a temporary file, the second the one that the user gave.
            name = error.filename2 or error.filename
            code = _trouble(f"{name}: {error.strerror}" if name else str(error))
        except KeyboardInterrupt:
            code = INTERRUPTED
        except Exception as error:
            # Python would exit with 1 here, which means "different".
            _LOG.debug("internal error", exc_info=True)
            code = _trouble(
                f"internal error, please report it ({type(error).__name__}: {error}); --verbose shows where"
            )
        raise typer.Exit(code)

    return run


def _trouble(*messages: str) -> int:
    for message in messages:
        typer.echo(f"tflrecover: error: {safe(' '.join(message.split()))}", err=True)
    return TROUBLE


def be_verbose(is_asked: bool) -> None:
    """What ``--verbose`` does, before the command and behind it."""
    if is_asked:
        _LOG.setLevel(logging.DEBUG)


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """Shows on a terminal what is being done, without the noise of native code; not where all is logged already."""
    if _LOG.isEnabledFor(logging.DEBUG):
        yield
        return
    with _status(), _quiet():
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leaves out what TensorFlow and LiteRT write to stderr for information; no log level stops LiteRT's."""
    reading, writing = os.pipe()
    stderr = os.dup(2)
    os.dup2(writing, 2)
    os.close(writing)

    def pass_on() -> None:
        with os.fdopen(reading, "rb") as lines:
            for line in lines:
                if not _NOISE.match(line):
                    os.write(stderr, line)

    passing = threading.Thread(target=pass_on, daemon=True)
    passing.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(stderr, 2)
        # A process that the user's code has left running keeps the pipe open.
        passing.join(_LONGEST)
        if not passing.is_alive():
            os.close(stderr)


@contextlib.contextmanager
def _status() -> Iterator[None]:
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.text import Text

    # A copy: what TensorFlow writes to stderr while it is loaded is held back.
    with os.fdopen(os.dup(sys.stderr.fileno()), "w") as stderr, Console(file=stderr).status("starting") as status:

        def show_stage(what: str) -> None:
            status.update(Text(safe(what)))

        with progress(show_stage):
            yield


@dataclass(frozen=True)
class Outputs:
    """Where a report goes, besides the terminal.

    Attributes:
        selection: What of it is shown.
        json: A file, or None.
        html: A file, or None.
        model_explorer: A folder, or None.
    """

    selection: Selection
    json: str | None
    html: str | None
    model_explorer: str | None

    def require(self) -> None:
        """Refuses what cannot be written before any work is done.

        Raises:
            OutputError: with the path as it was given.
        """
        for path in filter(None, (self.json, self.html)):
            require_place(path)
        if self.model_explorer:
            require_folder(self.model_explorer)

    def take(self, report: Report) -> int:
        """Writes and shows a report.

        Returns:
            The exit code.

        Raises:
            UnknownLayer: what shall be shown is not there; nothing is written.
            OutputError: something cannot be written.
        """
        self.selection.require(report)
        if self.json:
            report.to_json(self.json)
        if self.html:
            report.to_html(self.html)
        if self.model_explorer:
            report.to_model_explorer(self.model_explorer)
        self._show(report)
        return SAME if report.ok else DIFFERENT

    def _show(self, report: Report) -> None:
        if not sys.stdout.isatty():
            typer.echo(full_text(report, self.selection), nl=False)
            return
        from rich.console import Console

        from tflrecover.render.terminal import show

        show(report, self.selection, Console(highlight=False))
