"""Runs a file's bytes with LiteRT, here or, as a program, in a process of its own.

A damaged file can end the process that runs it, or never end itself. So whoever compares two networks has the file run
elsewhere. This module imports nothing of the package and is run by its path: the other process starts quickly. The two
talk over stdin and stdout: frames with their length in front, arrays in numpy's own format.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]
Buffer = bytes | memoryview

# Seconds. Runs take a few; a loop that never ends must not hold up who wants to see a difference.
_LONGEST = 120.0


class Failed(Exception):
    """LiteRT cannot run the file; the message says why."""


class Run(Protocol):
    """A finished run, whose tensors are fetched one at a time, as they are stored.

    None that nobody asks for: fetching a resource of a file with states can end the process.
    """

    def shapes(self, indices: Sequence[int]) -> list[tuple[int, ...] | None]:
        """Shapes of tensors, or None where a delegate kept one to itself."""

    def tensor(self, index: int) -> Array | None:
        """Contents of a tensor, or None where a delegate kept them to itself."""


Start = Callable[[Buffer, Mapping[int, Array]], Run]
"""A file's bytes and the contents of its inputs to a run."""


class Here:
    """A run in this process.

    Args:
        content: The file's bytes.
        given: Contents of each input, as they are stored, by index of its tensor.

    Raises:
        Failed: LiteRT cannot run it.
        ImportError: LiteRT is not installed.
    """

    def __init__(self, content: Buffer, given: Mapping[int, Array]) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            with warnings.catch_warnings():
                # LiteRT warns of the memory that keeping all tensors takes; here it is the purpose.
                warnings.simplefilter("ignore", UserWarning)
                made = Interpreter(model_content=bytes(content), experimental_preserve_all_tensors=True, num_threads=2)
            shapes = {detail["index"]: tuple(detail["shape"]) for detail in made.get_input_details()}
            for index, array in given.items():
                if array.shape != shapes.get(index):
                    made.resize_tensor_input(index, array.shape)
            made.allocate_tensors()
            for index, array in given.items():
                made.set_tensor(index, array)
            made.invoke()
        except (RuntimeError, ValueError) as error:
            raise Failed(str(error).strip().partition("\n")[0] or type(error).__name__) from error
        self._interpreter = made

    def shapes(self, indices: Sequence[int]) -> list[tuple[int, ...] | None]:
        """Shapes of tensors, or None where a delegate kept one to itself."""
        found = map(self.tensor, indices)
        return [None if array is None else array.shape for array in found]

    def tensor(self, index: int) -> Array | None:
        """Contents of a tensor, or None where a delegate kept them to itself."""
        try:
            return np.asarray(self._interpreter.get_tensor(index))
        except ValueError:
            return None


class Elsewhere:
    """The same in a process of its own.

    Args:
        content: The file's bytes.
        given: Contents of each input, as they are stored, by index of its tensor.

    Raises:
        Failed: LiteRT cannot run it, ended that process, did not finish, or is not installed.
    """

    def __init__(self, content: Buffer, given: Mapping[int, Array]) -> None:
        self._process = subprocess.Popen(
            # Not from its own folder, whose modules have the names of packages.
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        weakref.finalize(self, _end, self._process)
        timer = threading.Timer(_LONGEST, self._process.kill)
        timer.start()
        try:
            indices = json.dumps(list(given)).encode()
            self._ask(content, indices, *map(_packed, given.values()))
            answer = json.loads(_receive(self._process.stdout))
        except (EOFError, OSError) as error:
            raise Failed("it ended without an answer, or did not end in time") from error
        finally:
            timer.cancel()
        if "error" in answer:
            raise Failed(answer["error"])

    def shapes(self, indices: Sequence[int]) -> list[tuple[int, ...] | None]:
        """Shapes of tensors, or None where a delegate kept one to itself."""
        found = json.loads(self._answer("shapes", list(indices)))
        return [None if shape is None else tuple(shape) for shape in found]

    def tensor(self, index: int) -> Array | None:
        """Contents of a tensor, or None where a delegate kept them to itself."""
        found = self._answer("tensor", index)
        return _unpacked(found) if found else None

    def _answer(self, what: str, of: int | list[int]) -> bytes:
        try:
            self._ask(json.dumps([what, of]).encode())
            return _receive(self._process.stdout)
        except (EOFError, OSError) as error:
            raise Failed("it ended while its tensors were read") from error

    def _ask(self, *frames: Buffer) -> None:
        for frame in frames:
            _send(self._process.stdin, frame)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            # What was not sent yet to one that is dead already cannot be.
            with contextlib.suppress(OSError):
                stream.close()
    process.wait()


def _packed(array: Array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def _unpacked(frame: bytes) -> Array:
    return np.asarray(np.load(io.BytesIO(frame), allow_pickle=False))


def _send(stream: IO[bytes] | None, frame: Buffer) -> None:
    assert stream is not None
    stream.write(len(frame).to_bytes(8, "little"))
    stream.write(frame)
    stream.flush()


def _receive(stream: IO[bytes] | None) -> bytes:
    assert stream is not None
    head = stream.read(8)
    length = int.from_bytes(head, "little")
    frame = stream.read(length)
    if len(head) < 8 or len(frame) < length:
        raise EOFError
    return frame


def _serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Runs a file, then hands out its tensors until nobody asks any more."""
    content, indices = _receive(source), json.loads(_receive(source))
    given = {index: _unpacked(_receive(source)) for index in indices}
    try:
        run = Here(content, given)
    except (Failed, ImportError) as error:
        _send(sink, json.dumps({"error": str(error)}).encode())
        return
    _send(sink, json.dumps({}).encode())
    while True:
        what, of = json.loads(_receive(source))
        if what == "shapes":
            _send(sink, json.dumps(run.shapes(of)).encode())
        else:
            found = run.tensor(of)
            _send(sink, b"" if found is None else _packed(found))


def main() -> None:
    """Serves on stdin and stdout; what LiteRT prints goes nowhere."""
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    try:
        _serve(sys.stdin.buffer, sink)
    except (EOFError, BrokenPipeError):
        return


if __name__ == "__main__":
    main()
