"""What all commands have in common."""

import logging
import os
import sys
import time
from collections.abc import Iterator

import pytest

from tflrecover.cli.shell import waiting
from tflrecover.stages import stage

WAIT = 0.3


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    found = logging.getLogger("tflrecover")
    level = found.level
    yield found
    found.setLevel(level)


@pytest.mark.parametrize("level", [logging.WARNING, logging.DEBUG])
def test_a_terminal_shows_what_is_being_done_where_it_is_not_logged(
    monkeypatch: pytest.MonkeyPatch, logger: logging.Logger, level: int
) -> None:
    logger.setLevel(level)
    monkeypatch.setenv("TERM", "xterm")
    terminal, slave = os.openpty()
    with os.fdopen(slave, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        with waiting():
            stage("tracing [bold]a\x1b[2J")
            time.sleep(WAIT)
        # So that there is something to read in any case.
        os.write(slave, b"end")
        shown = os.read(terminal, 1 << 16).decode()
    assert ("tracing [bold]a\\x1b[2J" in shown) == (level == logging.WARNING)
    assert "\x1b[2J" not in shown
