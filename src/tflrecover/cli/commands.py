"""The command line. Exit codes are those of ``diff(1)``."""

from __future__ import annotations

import enum
import io
import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tflrecover import __version__
from tflrecover.arrays import load_arrays
from tflrecover.cli.loading import import_keras, load_model, names_model
from tflrecover.cli.shell import DIFFERENT, SAME, Outputs, be_verbose, exits, waiting
from tflrecover.errors import InvalidFile, TFLRecoverError
from tflrecover.mistaken import is_file
from tflrecover.render.values import safe
from tflrecover.saving import require_free, require_output, require_place, save, write_atomically

_LOG = logging.getLogger("tflrecover")

_PLAIN: dict[str, Any] = {
    "no_args_is_help": True,
    "add_completion": False,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
}
app = typer.Typer(help="From a TFLite file back to a Keras model.", **_PLAIN)
mapping_app = typer.Typer(help="Work on a mapping.", **_PLAIN)
app.add_typer(mapping_app, name="mapping")

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="A .tflite file.")]
_MODEL = "A .keras or .h5 file, or package.module:name of a model or of a function that returns one."
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help=_MODEL)]
MappingOption = Annotated[str | None, typer.Option("--mapping", "-m", metavar="M.yaml", help="A mapping in YAML.")]
SignatureOption = Annotated[
    str | None,
    typer.Option("--signature", metavar="NAME", help="Of a file with several signatures, the one that is meant."),
]
JsonOption = Annotated[str | None, typer.Option("--json", metavar="OUT", help="Also write the report as JSON.")]
HtmlOption = Annotated[
    str | None, typer.Option("--html", metavar="OUT", help="Also write the report as a page for a browser.")
]
ExplorerOption = Annotated[
    str | None, typer.Option("--model-explorer", metavar="DIR", help="Also write a folder for Google's Model Explorer.")
]
FullOption = Annotated[bool, typer.Option("--full", help="Cut and fold nothing, and say how operators were matched.")]
OnlyOption = Annotated[
    bool,
    typer.Option("--only-differences", help="Show differences, their operators, and what cannot be told apart."),
]
LayerOption = Annotated[
    str | None,
    typer.Option("--layer", metavar="PATTERN", help="Show operators and differences at these layers or tensors only."),
]
VerboseOption = Annotated[  # its callback does all there is to do
    bool, typer.Option("--verbose", callback=be_verbose, help="Say what is being done, and where an error arose.")
]


class Rounding(enum.Enum):
    """What is made of a quantized file."""

    FLOAT = "float"
    SIMULATE = "simulate"


def _version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"tflrecover {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[  # its callback does all there is to do
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    verbose: VerboseOption = False,
) -> None:
    """From a TFLite file back to a Keras model."""


def _loaded(file: str, model: str, mapping: str | None, signature: str | None) -> tuple[Any, Any, Any]:
    """The file as it was read, the model, the mapping; a wrong file or mapping need not wait for TensorFlow to load."""
    from tflrecover.tflite import read

    user = _mapping(mapping)
    return read(file, signature=signature), load_model(model), user


def _mapping(path: str | None) -> Any:
    from tflrecover.mapping import Mapping

    return None if path is None else Mapping.load(path)


@app.command()
@exits
def inspect(
    file: FileArgument,
    full: Annotated[bool, typer.Option("--full", help="Also list every operator and constant.")] = False,
    graphml: Annotated[str | None, typer.Option(metavar="OUT", help="Also write the main graph as GraphML.")] = None,
    dot: Annotated[str | None, typer.Option(metavar="OUT", help="Also write the main graph for Graphviz.")] = None,
    signature: SignatureOption = None,
    verbose: VerboseOption = False,
) -> int:
    """Show what is in a file."""
    from tflrecover.render.export import dot_text, graphml_text
    from tflrecover.render.inspect import inspect_text
    from tflrecover.tflite import read

    written = [(path, text) for path, text in ((graphml, graphml_text), (dot, dot_text)) if path]
    for path, _ in written:
        require_place(path)
    found = read(file, signature=signature)
    for path, text in written:
        write_atomically(path, text(found.graph))
    typer.echo(inspect_text(found, full=full), nl=False)
    return SAME


@app.command()
@exits
def diff(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A .tflite file; or a model, to compare two models.")],
    model: Annotated[str, typer.Argument(metavar="MODEL", help=f"{_MODEL} Or a .tflite file, to compare two files.")],
    mapping: MappingOption = None,
    signature: SignatureOption = None,
    json: JsonOption = None,
    html: HtmlOption = None,
    model_explorer: ExplorerOption = None,
    full: FullOption = False,
    only_differences: OnlyOption = False,
    layer: LayerOption = None,
    verbose: VerboseOption = False,
) -> int:
    """Compare a file with a model, two files or two models. None is changed."""
    import tflrecover
    from tflrecover.render.selection import Selection
    from tflrecover.tflite import read

    outputs = Outputs(Selection(full, only_differences, layer), json, html, model_explorer)
    outputs.require()
    with waiting():
        user = _mapping(mapping)
        if is_file(model):
            first, second = read(file, signature=signature), read(model, signature=signature)
        elif names_model(file):
            if signature is not None:
                raise InvalidFile("is a model, and has no signatures", source=file)
            first, second = load_model(file), load_model(model)
        else:
            first, second, _ = _loaded(file, model, None, signature)
        report = tflrecover.diff(first, second, user)
    return outputs.take(report)


@app.command()
@exits
def port(
    file: FileArgument,
    model: ModelArgument,
    output: Annotated[str, typer.Option("--output", "-o", metavar="OUT.keras", help="Where to save the model.")],
    mapping: MappingOption = None,
    signature: SignatureOption = None,
    strict: Annotated[bool, typer.Option(help="Refuse when anything differs or is not sure.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Overwrite OUT.keras if it is there.")] = False,
    json: JsonOption = None,
    html: HtmlOption = None,
    model_explorer: ExplorerOption = None,
    full: FullOption = False,
    only_differences: OnlyOption = False,
    layer: LayerOption = None,
    verbose: VerboseOption = False,
) -> int:
    """Copy a file's weights into a model and save it. Folders on the way are made."""
    import tflrecover
    from tflrecover.render.selection import Selection

    outputs = Outputs(Selection(full, only_differences, layer), json, html, model_explorer)
    outputs.require()
    require_output(output, force)
    try:
        with waiting():
            read, loaded, user = _loaded(file, model, mapping, signature)
            report = tflrecover.port(read, loaded, user, strict=strict)
            outputs.selection.require(report)  # before anything is written
            save(loaded, output)
    except tflrecover.PortError as refused:
        outputs.take(refused.report)
        typer.echo(f"{output}: not written")
        return DIFFERENT
    code = outputs.take(report)
    typer.echo(f"{output}: written")
    return code


@app.command()
@exits
def recover(
    file: FileArgument,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="OUT.keras", help="Where to save the model.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(metavar="OUT.py", help="Write Python source that builds it, and its weights beside that."),
    ] = None,
    quantized: Annotated[
        Rounding, typer.Option(help="Of a quantized file: the float network, or with the rounding that the file does.")
    ] = Rounding.FLOAT,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
    signature: SignatureOption = None,
    verbose: VerboseOption = False,
) -> int:
    """Rebuild a file as a Keras model: save it, write its source, or both. Folders on the way are made."""
    from tflrecover.source_files import source_files
    from tflrecover.tflite import read

    if output is None and source is None:
        raise TFLRecoverError("nothing would be written: give -o OUT.keras, --source OUT.py, or both")
    if output is not None:
        require_output(output, force)
    for target in source_files(source) if source else ():
        require_free(target, force)
    found = read(file, signature=signature)
    with waiting():
        import_keras()
        from tflrecover.generation import generate_from
        from tflrecover.recovery import has_own_layers, recovered

        made = recovered(found, quantized=quantized.value)
        written = [output] if output is not None else []

        def write_source() -> None:
            written.extend(map(str, generate_from(made, found.source, source) if source else ()))

        if output is None:
            write_source()
        else:
            save(made.model, output, write_source)
    for note in made.notes:
        typer.echo(f"note: {safe(note)}")
    if output is not None and has_own_layers(made.model):
        typer.echo(f"note: {output} has layers of tflrecover's: `import tflrecover.recovery` before Keras loads it")
    typer.echo(f"{', '.join(written)}: written")
    return SAME


@app.command()
@exits
def verify(
    file: FileArgument,
    model: ModelArgument,
    mapping: MappingOption = None,
    signature: SignatureOption = None,
    inputs: Annotated[
        str | None,
        typer.Option(metavar="FILE.npz|.npy", help="Arrays to run on, in a .npz by the names of the file's inputs."),
    ] = None,
    json: JsonOption = None,
    html: HtmlOption = None,
    model_explorer: ExplorerOption = None,
    full: FullOption = False,
    only_differences: OnlyOption = False,
    layer: LayerOption = None,
    verbose: VerboseOption = False,
) -> int:
    """Run a file and a model on the same inputs. Every operator is compared."""
    import tflrecover
    from tflrecover.render.selection import Selection

    outputs = Outputs(Selection(full, only_differences, layer), json, html, model_explorer)
    outputs.require()
    with waiting():
        given = None if inputs is None else load_arrays(inputs)
        report = tflrecover.verify(*_loaded(file, model, mapping, signature), inputs=given)
    return outputs.take(report)


@mapping_app.command()
@exits
def check(
    mapping: Annotated[str, typer.Argument(metavar="MAPPING", help="A mapping in YAML.")],
    file: FileArgument,
    model: ModelArgument,
    signature: SignatureOption = None,
    verbose: VerboseOption = False,
) -> int:
    """Check a mapping against a file and a model. Every name must be there."""
    import tflrecover

    with waiting():
        report = tflrecover.diff(*_loaded(file, model, mapping, signature))
    typer.echo(f"{mapping}: every name is there")
    typer.echo(str(report))
    for note in report.notes:
        typer.echo(f"note: {safe(note)}")
    return SAME if report.ok else DIFFERENT


@mapping_app.command()
@exits
def init(
    file: FileArgument,
    model: ModelArgument,
    output: Annotated[str, typer.Option("--output", "-o", metavar="M.yaml", help="Where to write the mapping.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite M.yaml if it is there.")] = False,
    signature: SignatureOption = None,
    verbose: VerboseOption = False,
) -> int:
    """Begin a mapping: what is open, as proposals in comments."""
    import tflrecover
    from tflrecover.mapping.model import SCHEMA_FILE, schema_text

    require_free(output, force)
    with waiting():
        read, loaded, _ = _loaded(file, model, None, signature)
        write_atomically(output, tflrecover.init_mapping(read, loaded))
    # The mapping's first line names it, for editors.
    beside = Path(output).with_name(SCHEMA_FILE)
    if force or not beside.exists():
        write_atomically(beside, schema_text())
    typer.echo(f"{output}: written; take the comment signs away from what you want. {beside} completes keys in editors")
    return SAME


@mapping_app.command()
@exits
def explain(
    file: FileArgument,
    model: ModelArgument,
    mapping: Annotated[str, typer.Option("--mapping", "-m", metavar="M.yaml", help="A mapping in YAML.")],
    signature: SignatureOption = None,
    verbose: VerboseOption = False,
) -> int:
    """Say of each entry of a mapping whether it is needed."""
    import tflrecover

    with waiting():
        effects = tflrecover.explain_mapping(*_loaded(file, model, mapping, signature))
    for effect in effects:
        typer.echo(safe(effect))
    return SAME if all(effect.is_needed for effect in effects) else DIFFERENT


@mapping_app.command()
@exits
def schema(verbose: VerboseOption = False) -> int:
    """Print the JSON Schema of a mapping."""
    from tflrecover.mapping.model import schema_text

    typer.echo(schema_text(), nl=False)
    return SAME


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits with 0 (same), 1 (different) or 2 (trouble)."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("tflrecover: %(message)s"))
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.WARNING)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app(args=arguments)
