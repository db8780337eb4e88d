"""What a file holds."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from tflrecover.ir import Graph


@dataclass(frozen=True, slots=True)
class Signature:
    """A named way to call a subgraph.

    Attributes:
        key: Its name, e.g. ``"serving_default"``.
        subgraph: Index of the subgraph.
        inputs: Argument name to tensor index, in file order.
        outputs: Result name to tensor index, in file order.
    """

    key: str
    subgraph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class TFLiteModel:
    """A TFLite file.

    Attributes:
        source: The path as given, or ``"<bytes>"``.
        content: The whole file, memory-mapped where it came from a path; read-only.
        version: Schema version (3 for every file in use).
        description: What the converter wrote about itself.
        subgraphs: One graph per subgraph; the first is the main one.
        signatures: In file order; empty in old files.
        metadata: Name to contents; where a name occurs twice, the later one has ``#2`` behind it.
    """

    source: str
    content: memoryview = field(repr=False)
    version: int
    description: str
    subgraphs: tuple[Graph, ...]
    signatures: tuple[Signature, ...]
    metadata: Mapping[str, memoryview]

    @property
    def graph(self) -> Graph:
        """The main subgraph."""
        return self.subgraphs[0]

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return len(self.content)

    @functools.cached_property
    def sha256(self) -> str:
        """Hexadecimal digest of the file."""
        return hashlib.sha256(self.content).hexdigest()

    def signature(self, subgraph: int = 0) -> Signature | None:
        """The first signature of a subgraph, or None."""
        return next((s for s in self.signatures if s.subgraph == subgraph), None)

    @property
    def other_signatures(self) -> str:
        """A sentence on signatures that call other subgraphs than the main one; ``""`` where there are none."""
        others = [repr(one.key) for one in self.signatures if one.subgraph]
        if not others:
            return ""
        main = self.signature()
        meant = "its first subgraph" if main is None else repr(main.key)
        told = f"This is {meant} of a file that has other signatures: {', '.join(others)}."
        return f"{told} For another, give tflrecover.read(path, signature={others[0]}), or --signature."
