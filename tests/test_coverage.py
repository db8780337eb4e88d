"""docs/coverage.md says what the code and the tests say."""

from benchmarks.coverage import __main__ as coverage
from benchmarks.coverage import layers, operators
from benchmarks.zoo import models, results, table


def test_every_builtin_is_listed_once():
    listed = operators.builtins()
    assert len(listed) == len(set(listed)) > 200
    assert {"CONV_2D", "WHILE", "STABLEHLO_ADD"} <= set(listed)


def test_layers_are_found_through_functions_and_tables_of_names(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "some_models.py").write_text(
        "def inner(x):\n    return L.Dense(2)(x)\n"
        "MODELS = {'one': lambda x: inner(L.ReLU()(x)), 'two': inner}\n"
        "MERGES = 'Add Average'\n"
    )
    (found,) = layers.modules(tmp_path, ["Dense", "ReLU", "Add", "Average", "Conv2D"])
    assert found.names == ["one", "two"]
    assert found.held == {"Dense": ["one", "two"], "ReLU": ["one"], "Add": [""], "Average": [""]}


def test_every_model_is_of_one_family():
    assert len(models.MODELS) == len(set(models.MODELS)) == 40
    assert len(models.FIRST) == 14
    assert len(models.cases()) == 80 + 42
    assert len(set(models.cases())) == 80 + 42


def test_results_go_on_where_they_were_cut_off(tmp_path):
    path = tmp_path / "results.jsonl"
    result = {"model": "VGG16", "mode": "fp32", "version": "a", "commit": "", "passed": True, "reason": ""}
    results.append(path, result)
    path.write_text(path.read_text() + '{"model": "VGG')
    results.append(path, {**result, "mode": "int8"})
    assert results.done(results.load(path), "a") == {("VGG16", "fp32"), ("VGG16", "int8")}
    assert not results.done(results.load(path), "b")


def test_newest_result_counts_and_keeps_the_time_of_converting():
    old = {"model": "VGG16", "mode": "fp32", "passed": False, "convert_s": 2.0, "ratio": 0.1}
    new = {"model": "VGG16", "mode": "fp32", "passed": True, "convert_s": None, "ratio": None}
    (found,) = results.latest([old, new]).values()
    assert found == {**new, "convert_s": 2.0, "ratio": 0.1}


def test_table_names_what_fails_and_what_the_converter_cannot_make():
    common = {"version": "a", "commit": "abc"}
    text = table.markdown(
        {
            ("VGG16", "fp32"): {"passed": False, "reason": "ValueError: no", **common},
            ("VGG16", "int8"): {"passed": False, "no_file": True, "reason": "cannot be converted", **common},
        }
    )
    assert "- VGG16 fp32: ValueError: no" in text
    assert "| VGG16 | int8 | no file |" in text


def test_the_summary_counts_forms_of_both_measurements():
    told = coverage.summary(
        {
            "Operators": "160 of 208 builtins are read; 51 are not. *more*: words.",
            "Layers": "93 of 136 layers are ported.\n\n| layer |",
            coverage.KINDS: "Words.\n\n- fp32: 362 exact, 1 no file\n- int8: 3 refused\n\n- layer a int8: refused.",
            coverage.APPLICATIONS: "- fp32: 40 of 40 pass\n- port() as a part of convert(): at most 14%",
        }
    )
    assert told.splitlines() == [
        "- 160 of 208 builtins are read.",
        "- 93 of 136 layers are ported.",
        "",
        f"| form | {coverage.KINDS} | {coverage.APPLICATIONS} |",
        "| --- | --- | --- |",
        "| fp32 | 362 exact, 1 no file | 40 of 40 pass |",
        "| int8 | 3 refused |  |",
    ]


def test_the_document_is_current():
    """`make coverage` writes it anew."""
    before = coverage.sections(coverage.PATH.read_text())
    assert {title: before[title] for title in coverage.DERIVED} == {
        title: text.strip() for title, text in coverage.derived().items()
    }
