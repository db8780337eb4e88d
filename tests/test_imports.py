import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tflrecover
from tests.conftest import ROOT

HEAVY = ("tensorflow", "keras", "tf_keras", "ai_edge_litert", "pydantic", "rich", "einops", "jinja2")


def loaded_after(statement: str, tmp_path: Path) -> set[str]:
    """Top-level modules that a fresh Python holds after a statement."""
    program = f"import sys\ntry:\n    {statement}\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
    program += "print('\\n'.join(sorted(m for m in sys.modules if '.' not in m)))"
    path = [str(ROOT / "src")]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{program}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def imports_between_modules() -> tuple[set[str], set[tuple[str, str]]]:
    """Modules and packages right below tflrecover, and which is imported by which when it is loaded."""
    source = ROOT / "src/tflrecover"
    modules = {path.stem for path in source.iterdir() if path.name[0] != "_" and path.suffix in ("", ".py")}
    uses = set()
    for path in source.rglob("*.py"):
        mine = path.relative_to(source).parts[0].removesuffix(".py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tflrecover"):
                inside = node.module.split(".")[1:2] or [one.name for one in node.names]
                uses |= {(mine, other) for other in inside if mine in modules and other in modules and mine != other}
    return modules, uses


def test_importing_the_package_imports_nothing_heavy(tmp_path: Path) -> None:
    assert loaded_after("import tflrecover", tmp_path).isdisjoint((*HEAVY, "numpy", "networkx"))


def test_read_needs_neither_tensorflow_nor_keras(tmp_path: Path, palm_2019: Path) -> None:
    found = loaded_after(f"import tflrecover; tflrecover.read({str(palm_2019)!r})", tmp_path)
    assert "tflite" in found
    assert found.isdisjoint(HEAVY)


def test_inspect_needs_neither_tensorflow_nor_keras(tmp_path: Path, palm_2019: Path) -> None:
    statement = f"from tflrecover.cli import main; main(['inspect', '--full', {str(palm_2019)!r}])"
    found = loaded_after(statement, tmp_path)
    assert "tflite" in found
    assert found.isdisjoint(("tensorflow", "keras", "tf_keras", "ai_edge_litert", "rich", "einops"))


@pytest.mark.parametrize("name", tflrecover.__all__)
def test_every_public_name_is_there(name: str) -> None:
    found = getattr(tflrecover, name)
    assert callable(found)
    assert found.__doc__


def test_no_module_takes_the_name_of_a_public_call() -> None:
    inside = (ROOT / "src/tflrecover").iterdir()
    modules = {path.stem for path in inside if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert modules.isdisjoint(tflrecover.__all__)


def test_the_list_for_type_checkers_is_the_list() -> None:
    tree = ast.parse((ROOT / "src/tflrecover/__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imported = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported == set(tflrecover.__all__)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = tflrecover.nope


def test_no_file_is_long() -> None:
    files = [path for top in ("src", "tests", "examples", "benchmarks") for path in (ROOT / top).rglob("*.py")]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {name: n for name, n in lengths.items() if n > 400} == {}
