"""The graph that both sides become: values, operators, and a networkx multigraph of them.

A TFLite file and a Keras model are both read into :class:`Graph`. Operators are nodes; a value that one operator
makes and another takes is an edge whose key is ``(output_slot, input_slot)``, so that ``Mul(x, x)`` is two edges and
the operands of ``Sub`` keep their order. A value that nothing makes (an input, a constant) has no edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from tflrecover.errors import InvalidGraph
from tflrecover.output_effect import OutputEffect

if TYPE_CHECKING:
    from tflrecover.weight import Weight

Shape = tuple[int, ...]
Kind = Literal["attribute", "missing", "extra", "wiring", "shape", "constant"]
VariableState = Literal["assigned", "reparametrised", "kept", "unresolved"]
ConstantState = Literal["consumed", "structural", "ignored", "unexplained"]


@dataclass(frozen=True, slots=True, eq=False)
class Quantization:
    """Affine quantization, ``real = scale * (stored - zero_point)``, of a whole tensor or per slice of one axis.

    Attributes:
        scale: float32 array of length 1, or of the length of ``axis``. Empty when only ``details`` are there.
        zero_point: int64 array, as long as ``scale``.
        axis: The axis that ``scale`` runs along (``quantized_dimension`` of the schema).
        minimum: float32 array recorded by the converter, may be empty.
        maximum: float32 array recorded by the converter, may be empty.
        details: Other quantization schemes (custom, blockwise), as read; a plain dict.
    """

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int = 0
    minimum: NDArray[np.float32] | None = None
    maximum: NDArray[np.float32] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A tensor: an activation, an input, a constant or a variable.

    Attributes:
        name: As the file or the trace has it; may be empty and need not be unique.
        shape: Static shape. In a file with dynamic sizes this is a placeholder, see ``shape_signature``.
            None when the rank is unknown.
        shape_signature: The shape with -1 for dynamic sizes, or None when the file has none.
        dtype: numpy-style name (``"float32"``, ``"int8"``, ``"string"``, ``"int4"``…), or the number when unknown.
        quantization: Or None.
        data: Constant contents as a read-only view of the file (packed types such as int4: the raw bytes as a flat
            uint8 view; sparse tensors: the stored non-zero values, flat), or None.
        sparsity: Plain dict of the schema's ``SparsityParameters``, or None.
        weight: In a traced or canonical graph: the expression over file tensors or Keras variables that this
            constant is; None for activations.
    """

    name: str
    shape: Shape | None
    dtype: str | int
    shape_signature: Shape | None = None
    quantization: Quantization | None = None
    data: NDArray[Any] | None = None
    sparsity: Mapping[str, Any] | None = None
    weight: Weight | None = None

    @property
    def is_constant(self) -> bool:
        """Whether the contents do not depend on the inputs of the graph."""
        return self.data is not None or self.weight is not None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a canonical operator, or one attribute of it, comes from.

    Attributes:
        op: Id of the operator in the graph as read or traced: the operator's index in the file, or a name in the trace.
        type: Its type there.
        layer: Keras layer path, or None on the file's side.
    """

    op: int | str
    type: str | int
    layer: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """An operator.

    Attributes:
        id: Unique in its graph. In a graph as read: the operator's index in the file.
        type: TFLite's builtin name (``"CONV_2D"``), a custom operator's own name, or the number when unknown.
        inputs: Value ids in operand order; None is an optional operand that is left out (-1 in the file).
        outputs: Value ids.
        attributes: By name. As read: the schema's option names. Traced and canonical: the field's terms
            (``strides``, ``padding``, ``dilation_rate``, ``axis``…).
        layer: Keras layer path, or None.
        origins: What it was made from, for canonical operators.
        attribute_origins: Per attribute, where it came from if that is another operator than the first origin.
        custom: Whether it is a custom operator (``type`` is then its custom code).
        custom_options: Raw option bytes of a custom operator.
    """

    id: int | str
    type: str | int
    inputs: tuple[int | None, ...]
    outputs: tuple[int, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    layer: str | None = None
    origins: tuple[Origin, ...] = ()
    attribute_origins: Mapping[str, Origin] = field(default_factory=dict)
    custom: bool = False
    custom_options: bytes = b""

    def evolve(self, **changes: Any) -> Op:
        """A copy with some fields changed."""
        return replace(self, **changes)


class Graph(nx.MultiDiGraph):  # type: ignore[misc]  # networkx ships no types for its base classes
    """Operators and the values between them; every networkx algorithm takes it as it is.

    ``graph.graph`` holds ``name``, ``values`` (id to :class:`Value`), ``inputs`` and ``outputs`` (ordered value ids).
    Each node has the attribute ``op``; each edge, under the key ``(output_slot, input_slot)``, the ``value``'s id.
    Note that a graph without operators is falsy, as with any networkx graph.
    """

    @classmethod
    def build(
        cls,
        ops: Iterable[Op],
        values: Mapping[int, Value],
        inputs: Iterable[int],
        outputs: Iterable[int],
        name: str = "",
    ) -> Graph:
        """Makes the graph and checks it.

        Raises:
            InvalidGraph: two producers of one value, an unknown value id, or a cycle.
        """
        self = cls(name=name, values=dict(values), inputs=tuple(inputs), outputs=tuple(outputs))
        producers: dict[int, tuple[int | str, int]] = {}
        listed, where = list(ops), name or "graph"
        for op in listed:
            self.add_node(op.id, op=op)
            for slot, value in enumerate(op.outputs):
                if value in producers:
                    raise InvalidGraph(f"{where}: operators {producers[value][0]} and {op.id} both make value {value}")
                producers[value] = (op.id, slot)
        behind: set[int | str] = set()
        is_ordered = True
        for op in listed:
            for operand in (*op.inputs, *op.outputs):
                if operand is not None and operand not in values:
                    told = f"operator {op.id} ({op.type}) names value {operand}, which is not there"
                    raise InvalidGraph(f"{where}: {told}")
            for slot, operand in enumerate(op.inputs):
                if operand in producers:
                    source, output_slot = producers[operand]
                    is_ordered = is_ordered and source in behind
                    self.add_edge(source, op.id, key=(output_slot, slot), value=operand)
            behind.add(op.id)
        # Where everything comes behind what it takes, as in nearly every graph, there is no cycle to look for.
        if not is_ordered and not nx.is_directed_acyclic_graph(self):
            cycle = [edge[0] for edge in nx.find_cycle(self)]
            raise InvalidGraph(f"{where}: operators {cycle[:8]} form a cycle; a TFLite graph runs in one pass")
        return self

    @property
    def values(self) -> dict[int, Value]:
        """Value id to value."""
        return self.graph["values"]  # type: ignore[no-any-return]

    @property
    def inputs(self) -> tuple[int, ...]:
        """Value ids of the graph's inputs, in order."""
        return self.graph["inputs"]  # type: ignore[no-any-return]

    @property
    def outputs(self) -> tuple[int, ...]:
        """Value ids of the graph's outputs, in order."""
        return self.graph["outputs"]  # type: ignore[no-any-return]

    def op(self, op_id: int | str) -> Op:
        """The operator with that id."""
        return self._node[op_id]["op"]  # type: ignore[no-any-return]

    def ops(self) -> Iterator[Op]:
        """The operators, in the order in which they were added (file order, or order of the trace)."""
        return (node["op"] for node in self._node.values())


def short_name(name: str) -> str:
    """A converter's name without the names of what it has merged: ``a;b;c`` is ``a``."""
    return name.split(";", 1)[0]


def counted(count: int, one: str, ending: str = "s") -> str:
    """So many of a thing: ``1 batch norm``, ``2 batch norms``."""
    return f"{count} {one}{'' if count == 1 else ending}"


def called(name: str, otherwise: str = "") -> str:
    """A name as reports quote it; a file whose names were stripped has none."""
    return repr(short_name(name)) if name else otherwise


def at_operator(index: int | str | None, kind: str | int | None, name: str, more: str = "") -> str:
    """An operator of a file as reports name it: by index, type, and name of its output."""
    return f"operator {index} ({kind}{name and f', output {called(name)}'}{more})"


@dataclass(frozen=True, slots=True)
class Match:
    """One operator of the file and the operator of the Keras model that is taken for it.

    Attributes:
        tflite: Id in the canonical graph of the file.
        keras: Id in the canonical graph of the model.
        step: Name of the matching step that found it.
        evidence: One phrase for a human.
    """

    tflite: int | str
    keras: int | str
    step: str
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class OperatorCounts:
    """How many operators there are, scalings left out where they are canonical.

    Attributes:
        file: In the main graph of the file.
        canonical: In the canonical graph of the file.
        model: In the canonical graph of the model.
        matched: Pairs of the last two.
    """

    file: int
    canonical: int
    model: int
    matched: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same, told in Keras's terms.

    Attributes:
        kind: ``attribute``, ``missing`` (in the file only), ``extra`` (in Keras only), ``wiring``, ``shape`` or
            ``constant``.
        message: A sentence that says what to change.
        tflite_op: Index of the operator in the file, or None.
        tflite_type: Its type as in the file, or None.
        tflite_name: Name of its output tensor, or None.
        keras_layer: Layer path, or None; its last part is the layer's name.
        attribute: Name of the Keras argument, or None.
        tflite_value: The file's value of it.
        keras_value: The model's value of it.
        consequences: Differences that follow from this one.
        accepted: Whether the mapping says that it is wanted.
        operators: Ids in the canonical graph of the file of all operators that it is about, where they are several.
        layers: Layer paths that it is about, where they are several.
        effect: What it does to the outputs, or None where nobody has asked.
    """

    kind: Kind
    message: str
    tflite_op: int | None = None
    tflite_type: str | int | None = None
    tflite_name: str | None = None
    keras_layer: str | None = None
    attribute: str | None = None
    tflite_value: Any = None
    keras_value: Any = None
    consequences: tuple[Difference, ...] = ()
    accepted: bool = False
    operators: tuple[int | str, ...] = ()
    layers: tuple[str, ...] = ()
    effect: OutputEffect | None = None


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """Operators that structure cannot tell apart.

    Attributes:
        message: What cannot be told apart, and what to do.
        tflite_ops: Operator indices in the file.
        keras_layers: Layer paths.
        mapping: YAML lines that would settle it (one of the possible choices).
    """

    message: str
    tflite_ops: tuple[int, ...]
    keras_layers: tuple[str, ...]
    mapping: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """What happens to one Keras variable.

    Attributes:
        variable: Unique path, ``layer path/variable name``.
        state: ``assigned`` (the file's own numbers), ``reparametrised`` (same function, other numbers: a folded batch
            norm), ``kept`` (by mapping, or not a weight), ``unresolved``.
        value: The array in the variable's shape and dtype, or None when kept or unresolved.
        recipe: How it was made, e.g. ``"conv2d_7/Kernel: o h w i -> h w i o"``; or why it was not.
        held: Whether the variable has the value now (``verify`` only, of what is assigned); None: not looked at.
    """

    variable: str
    state: VariableState
    value: NDArray[Any] | None = None
    recipe: str = ""
    held: bool | None = None


@dataclass(frozen=True, slots=True)
class ConstantUse:
    """What became of one constant tensor of the file.

    Attributes:
        tensor: Index of the tensor in the file.
        name: Its name.
        state: ``consumed``, ``structural`` (a shape, a padding, an axis), ``ignored`` (by mapping) or ``unexplained``.
    """

    tensor: int
    name: str
    state: ConstantState
