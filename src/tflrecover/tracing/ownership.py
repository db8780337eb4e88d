"""Which layer made which TensorFlow operator: recorded while tracing, never guessed from names.

Keras names the operators of a layer ``dense`` after ``dense_1`` as soon as a second model exists, and gives
``keras.ops`` calls no scope at all. So each call of a layer or operation notes the graph and its version (the number
of operators made so far) before and after; the innermost interval around an operator is its owner.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Any

from tflrecover.tracing import standin

Call = Callable[..., Any]

_PATCH = threading.RLock()


@contextlib.contextmanager
def patched(classes: Iterable[type], wrap: Callable[[Call], Call]) -> Iterator[None]:
    """Puts what ``wrap`` makes of it in the place of every ``__call__`` of some classes, until the end of the block.

    One thread at a time: who took the wrapper of another for the original would put it back for good.
    """
    with _PATCH:
        originals = {cls: cls.__call__ for cls in classes}
        try:
            for cls, original in originals.items():
                cls.__call__ = wrap(original)  # type: ignore[method-assign]
            yield
        finally:
            for cls, original in originals.items():
                cls.__call__ = original  # type: ignore[method-assign]


class CallRecorder:
    """Records calls of layers and operations; use it as ``with recorder.recording(classes): ...``."""

    def __init__(self, known: Container[Any], stand_ins: Sequence[standin.StandIn] = ()) -> None:
        # Keras makes operations on the fly inside layers (ZeroPadding2D calls a Pad): only known ones can own.
        self._known = known
        self._stand_ins = stand_ins
        self._anew: dict[int, Any] = {}
        self._running: list[Any] = []
        # By the graph itself: the id of one that is gone may be that of the next.
        self._intervals: dict[Any, list[tuple[int, int, Any]]] = {}
        self._thread = threading.get_ident()

    def recording(self, classes: Iterable[type]) -> contextlib.AbstractContextManager[None]:
        """Records every ``__call__`` of those classes until the end of the block."""
        return patched(classes, self._wrap)

    def _wrap(self, original: Call) -> Call:
        from tensorflow.compat import v1

        @functools.wraps(original)
        def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
            # A model that is traced may be at work elsewhere.
            if threading.get_ident() != self._thread or operation not in self._known:
                return original(operation, *args, **kwargs)
            graph = v1.get_default_graph()
            start = graph.version
            around = tuple(self._running)
            self._running.append(operation)
            try:
                return standin.call(self._stand_ins, self._anew, around, original, operation, *args, **kwargs)
            finally:
                self._running.pop()
                self._intervals.setdefault(graph, []).append((start, graph.version, operation))

        return call

    def owners(self, graph: Any, count: int) -> list[Any]:
        """The innermost layer or operation of each of the ``count`` operators of a graph, in order of making."""
        owners: list[Any] = [None] * count
        # A call is recorded when it ends, so outer calls come after inner ones; inner ones must overwrite them.
        for start, end, operation in reversed(self._intervals.get(graph, [])):
            owners[start:end] = [operation] * (min(end, count) - min(start, count))
        return owners
