"""The command line. Exit codes are those of ``diff(1)``."""

from __future__ import annotations

import enum
import functools
import io
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

from tflrecover import __version__
from tflrecover.errors import MappingError, TFLRecoverError
from tflrecover.loading import import_keras, load_inputs, load_model, names_model
from tflrecover.mistaken import is_file
from tflrecover.render.text import full as full_text
from tflrecover.render.values import safe
from tflrecover.saving import require_free, require_output, save

if TYPE_CHECKING:
    from tflrecover.render.selection import Selection
    from tflrecover.report import Report

_LOG = logging.getLogger("tflrecover")

# What the shell is told.
SAME, DIFFERENT, TROUBLE = 0, 1, 2

# As a shell reports a program that a signal ended: 128 + SIGINT, 128 + SIGPIPE.
INTERRUPTED, READER_GONE = 130, 141

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
MappingOption = Annotated[str | None, typer.Option("--mapping", "-m", help="A mapping in YAML.")]
JsonOption = Annotated[str | None, typer.Option("--json", help="Also write the report as JSON.")]
HtmlOption = Annotated[str | None, typer.Option("--html", help="Also write the report as a page for a browser.")]
ExplorerOption = Annotated[
    str | None, typer.Option("--model-explorer", metavar="DIR", help="Also write a folder for Google's Model Explorer.")
]
FullOption = Annotated[bool, typer.Option("--full", help="Cut and fold nothing, and say how operators were matched.")]
OnlyOption = Annotated[
    bool, typer.Option("--only-differences", help="Show the differences and their operators, nothing else.")
]
LayerOption = Annotated[
    str | None,
    typer.Option("--layer", metavar="PATTERN", help="Show operators and differences at these layers or tensors only."),
]


class Rounding(enum.Enum):
    """What is made of a quantized file."""

    FLOAT = "float"
    SIMULATE = "simulate"


P = ParamSpec("P")


def exits(command: Callable[P, int]) -> Callable[P, None]:
    """The command's number becomes the exit code; what goes wrong becomes one line and ``TROUBLE``."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = command(*args, **kwargs)
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


def _trouble(message: str) -> int:
    typer.echo(f"tflrecover: error: {safe(' '.join(message.split()))}", err=True)
    return TROUBLE


def _version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"tflrecover {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[  # its callback does all there is to do
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Say what is being done, and where an error arose.")
    ] = False,
) -> None:
    """From a TFLite file back to a Keras model."""
    logging.getLogger("tflrecover").setLevel(logging.DEBUG if verbose else logging.WARNING)


def _loaded(file: str, model: str) -> tuple[Any, Any]:
    """The file as it was read, and the model; a wrong file need not wait for TensorFlow to load."""
    from tflrecover.tflite import read

    return read(file), load_model(model)


def _finish(
    report: Report, selection: Selection, json_path: str | None, html_path: str | None, explorer: str | None
) -> int:
    selection.require(report)
    if json_path:
        report.to_json(json_path)
    if html_path:
        report.to_html(html_path)
    if explorer:
        report.to_model_explorer(explorer)
    _show(report, selection)
    return SAME if report.ok else DIFFERENT


def _show(report: Report, selection: Selection) -> None:
    if not sys.stdout.isatty():
        typer.echo(full_text(report, selection), nl=False)
        return
    from rich.console import Console

    from tflrecover.render.terminal import show

    show(report, selection, Console(highlight=False))


@app.command()
@exits
def inspect(
    file: FileArgument,
    full: Annotated[bool, typer.Option("--full", help="Also list every operator.")] = False,
    graphml: Annotated[str | None, typer.Option(metavar="OUT", help="Also write the main graph as GraphML.")] = None,
    dot: Annotated[str | None, typer.Option(metavar="OUT", help="Also write the main graph for Graphviz.")] = None,
) -> int:
    """Show what is in a file."""
    from tflrecover.render.export import dot_text, graphml_text
    from tflrecover.render.inspect import inspect_text
    from tflrecover.report import write_atomically
    from tflrecover.tflite import read

    found = read(file)
    for path, text in ((graphml, graphml_text), (dot, dot_text)):
        if path:
            write_atomically(path, text(found.graph))
    typer.echo(inspect_text(found, full=full), nl=False)
    return SAME


@app.command()
@exits
def diff(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A .tflite file; or a model, to compare two models.")],
    model: Annotated[str, typer.Argument(metavar="MODEL", help=f"{_MODEL} Or a .tflite file, to compare two files.")],
    mapping: MappingOption = None,
    json: JsonOption = None,
    html: HtmlOption = None,
    model_explorer: ExplorerOption = None,
    full: FullOption = False,
    only_differences: OnlyOption = False,
    layer: LayerOption = None,
) -> int:
    """Compare a file with a model, two files, or two models; none is changed."""
    import tflrecover
    from tflrecover.render.selection import Selection

    selection = Selection(full, only_differences, layer)
    if is_file(model):
        first, second = file, model
    elif names_model(file):
        first, second = load_model(file), load_model(model)
    else:
        first, second = _loaded(file, model)
    return _finish(tflrecover.diff(first, second, mapping), selection, json, html, model_explorer)


@app.command()
@exits
def port(
    file: FileArgument,
    model: ModelArgument,
    output: Annotated[str, typer.Option("--output", "-o", metavar="OUT.keras", help="Where to save the model.")],
    mapping: MappingOption = None,
    strict: Annotated[bool, typer.Option(help="Refuse when anything differs or is not sure.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Overwrite OUT.keras if it is there.")] = False,
    json: JsonOption = None,
    html: HtmlOption = None,
    model_explorer: ExplorerOption = None,
    full: FullOption = False,
    only_differences: OnlyOption = False,
    layer: LayerOption = None,
) -> int:
    """Copy a file's weights into a model and save it; folders on the way are made."""
    import tflrecover
    from tflrecover.render.selection import Selection

    selection = Selection(full, only_differences, layer)
    require_output(output, force)
    read, loaded = _loaded(file, model)
    try:
        report = tflrecover.port(read, loaded, mapping, strict=strict)
    except tflrecover.PortError as refused:
        _finish(refused.report, selection, json, html, model_explorer)
        return DIFFERENT
    selection.require(report)  # before anything is written
    save(loaded, Path(output))
    return _finish(report, selection, json, html, model_explorer)


@app.command()
@exits
def recover(
    file: FileArgument,
    output: Annotated[str, typer.Option("--output", "-o", metavar="OUT.keras", help="Where to save the model.")],
    source: Annotated[
        str | None,
        typer.Option(metavar="OUT.py", help="Also write Python source that builds it, and its weights beside that."),
    ] = None,
    quantized: Annotated[
        Rounding, typer.Option(help="Of a quantized file: the float network, or with the rounding that the file does.")
    ] = Rounding.FLOAT,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> int:
    """Rebuild a file as a Keras model and save it; folders on the way are made."""
    from tflrecover.render.terminal import waiting
    from tflrecover.source_files import source_files
    from tflrecover.tflite import read

    require_output(output, force)
    for target in source_files(source) if source else ():
        require_free(target, force)
    found = read(file)
    with waiting(f"Rebuilding {safe(file)}"):
        import_keras()
        from tflrecover.generation import generate_from
        from tflrecover.recovery import has_own_layers, recovered

        made = recovered(found, quantized=quantized.value)
        written = [output]

        def write_source() -> None:
            written.extend(map(str, generate_from(made, found.source, source) if source else ()))

        save(made.model, Path(output), write_source)
    for note in made.notes:
        typer.echo(f"note: {safe(note)}")
    if has_own_layers(made.model):
        typer.echo(f"note: {output} has layers of tflrecover's: `import tflrecover.recovery` before Keras loads it")
    typer.echo(f"{', '.join(written)}: written")
    return SAME


@app.command()
@exits
def verify(
    file: FileArgument,
    model: ModelArgument,
    mapping: MappingOption = None,
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
) -> int:
    """Run a file and a model on the same inputs and compare every operator."""
    import tflrecover
    from tflrecover.render.selection import Selection

    selection = Selection(full, only_differences, layer)
    given = None if inputs is None else load_inputs(inputs)
    report = tflrecover.verify(*_loaded(file, model), mapping, inputs=given)
    return _finish(report, selection, json, html, model_explorer)


@mapping_app.command()
@exits
def check(
    mapping: Annotated[str, typer.Argument(metavar="MAPPING", help="A mapping in YAML.")],
    file: FileArgument,
    model: ModelArgument,
) -> int:
    """Check a mapping against a file and a model: every name must be there."""
    import tflrecover

    report = tflrecover.diff(*_loaded(file, model), mapping)
    typer.echo(f"{mapping}: every name is there")
    typer.echo(str(report))
    return SAME if report.ok else DIFFERENT


@mapping_app.command()
@exits
def init(
    file: FileArgument,
    model: ModelArgument,
    output: Annotated[str, typer.Option("--output", "-o", metavar="M.yaml", help="Where to write the mapping.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite M.yaml if it is there.")] = False,
) -> int:
    """Write a mapping to begin with: what is open, as proposals in comments."""
    import tflrecover
    from tflrecover.report import write_atomically

    if Path(output).is_file() and not force:
        raise MappingError("is there already; --force overwrites it", source=output)
    write_atomically(output, tflrecover.init_mapping(*_loaded(file, model)))
    typer.echo(f"{output}: written; take the comment signs away from what you want")
    return SAME


@mapping_app.command()
@exits
def explain(
    file: FileArgument,
    model: ModelArgument,
    mapping: Annotated[str, typer.Option("--mapping", "-m", help="A mapping in YAML.")],
) -> int:
    """Say of each entry of a mapping whether it took effect or was not needed."""
    import tflrecover

    effects = tflrecover.explain_mapping(*_loaded(file, model), mapping)
    for effect in effects:
        typer.echo(safe(effect))
    return SAME if all(effect.is_needed for effect in effects) else DIFFERENT


@mapping_app.command()
@exits
def schema() -> int:
    """Print the JSON Schema of a mapping."""
    from tflrecover.mapping.model import schema_text

    typer.echo(schema_text(), nl=False)
    return SAME


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits with 0 (same), 1 (different) or 2 (trouble)."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("tflrecover: %(message)s"))
    _LOG.addHandler(handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app(args=arguments)
