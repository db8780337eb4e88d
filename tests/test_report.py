import json
import math
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tflrecover
from tests.reports import ACCEPTED, POOL, check, different, same
from tflrecover.ir import Ambiguity, Assignment, ConstantUse, Difference, Match, OperatorCounts
from tflrecover.render.terminal import coloured
from tflrecover.render.text import UNDECIDED
from tflrecover.render.values import safe
from tflrecover.report import PAIR, Report

SPOILS_OK = {
    "difference": {"differences": (POOL,)},
    "ambiguity": {"ambiguities": (Ambiguity("a", (1,), ("b",)),)},
    "unresolved": {"assignments": (Assignment("a", "unresolved"),)},
    "unexplained": {"constants": (ConstantUse(1, "a", "unexplained"),)},
    "check": {"checks": (check(1, 0.5),)},
}


@pytest.mark.parametrize("changes", SPOILS_OK.values(), ids=SPOILS_OK)
def test_not_ok(changes: dict[str, Any]) -> None:
    assert not same(**changes).ok


def test_ok() -> None:
    kept = (Assignment("a", "kept"), Assignment("b", "reparametrised", np.zeros(1)))
    assert same(differences=(ACCEPTED,), assignments=kept, checks=(check(1),)).ok


def test_first_divergence_is_the_first_in_file_order() -> None:
    checks = (check(1), check(2, 0.1), check(3, 0.9))
    assert same(checks=checks).first_divergence is checks[1]
    assert same(checks=checks[:1]).first_divergence is None


# Rounding explains more than the largest value of what the file has there.
COARSE = check(7, 0.9, tolerance=1.5, ok=True, decides=False)

OPEN = Ambiguity("a", (1,), ("b",))

HEADLINES = [
    (same(), "the model is the file's network"),
    (different(), "the model is not the file's network"),
    (Report("port", "f", "m", applied=True), "ported, complete and beyond doubt"),
    (Report("port", "f", "m", differences=(POOL,)), "NOT ported"),
    (Report("port", "f", "m", differences=(POOL,), applied=True), "ported in part"),
    (Report("verify", "f", "m", checks=(check(1),)), "the numbers agree"),
    (Report("verify", "f", "m", checks=(check(1, 0.5),)), "the numbers do NOT agree"),
    (same(ambiguities=(OPEN,)), UNDECIDED),
    (same(ambiguities=(OPEN,), differences=(ACCEPTED,)), UNDECIDED),
    (same(ambiguities=(OPEN,), sides=PAIR), UNDECIDED),
    (
        Report("verify", "f", "m", checks=(check(1),), ambiguities=(OPEN,)),
        "the numbers that could be compared agree, but structure cannot decide all of them",
    ),
    (Report("verify", "f", "m"), "nothing could be compared"),
    (Report("verify", "f", "m", checks=(COARSE,)), "nothing could be compared"),
    (
        Report("verify", "f", "m", checks=(check(1), COARSE)),
        "the numbers of 1 of 2 operators agree, 1 could not be checked",
    ),
    (Report("verify", "f", "m", checks=(check(1, 0.5), COARSE)), "the numbers do NOT agree"),
]


@pytest.mark.parametrize(("report", "verdict"), HEADLINES, ids=[verdict for _, verdict in HEADLINES])
def test_headline(report: Report, verdict: str) -> None:
    assert str(report).splitlines()[0].endswith(f": {verdict}")
    assert report.to_text().splitlines()[0] == str(report).splitlines()[0]


COUNTS = [
    (OperatorCounts(5, 7, 7, 7), "all 7 canonical operators (5 in the file)"),
    (OperatorCounts(66, 65, 70, 6), "6 of 65 canonical operators of the file (66 as stored), the model has 70"),
]


@pytest.mark.parametrize(("counts", "said"), COUNTS, ids=["all", "some"])
def test_operators_are_counted_as_they_are_stored_too(counts: OperatorCounts, said: str) -> None:
    assert str(same(operators=counts)).splitlines()[1] == f"  operators matched: {said}"


def test_what_was_taken_on_trust_is_said_at_once() -> None:
    report = Report("port", "f", "m", applied=True, assumptions=("outputs paired by order: output_0 = sex",))
    assert str(report).splitlines()[0].endswith(": ported, complete if the order is the same (see the note)")
    assert "beyond doubt" not in report.to_text()
    assert "outputs paired by order: output_0 = sex" in str(report)
    assert "Note: outputs paired by order: output_0 = sex" in report.to_text()
    assert report.ok


def test_a_suggested_mapping_can_be_copied() -> None:
    lines = different(suggestion='accept:\n  - {op: "#4", kind: missing}').to_text().splitlines()
    start = lines.index("      tflrecover: 1")
    assert lines[start : start + 3] == ["      tflrecover: 1", "      accept:", '        - {op: "#4", kind: missing}']


def test_a_report_is_short_in_a_prompt_and_neither_true_nor_false() -> None:
    report = same(differences=(POOL,))
    assert repr(report) == "<diff report: palm.tflite -> blazepalm: the model is not the file's network>"
    with pytest.raises(TypeError, match=r"report\.ok"):
        bool(report)


def test_assigned_variables_are_listed_in_full() -> None:
    line = "    conv2d/kernel (conv2d/Kernel: o h w i -> h w i o)\n"
    assert line in same().to_text(full=True)
    assert line not in same().to_text()


def test_only_batch_norms_are_calibrated() -> None:
    table = Assignment("positions/embeddings", "reparametrised", np.ones((4, 8)), "Add")
    norm = Assignment("bn/moving_mean", "reparametrised", np.zeros(8), "neutral")
    assert "Reparametrised: " in same(assignments=(table,)).to_text()
    assert "calibrate" not in same(assignments=(table,)).to_text()
    assert "batch norms among them" in same(assignments=(table, norm)).to_text()


def test_what_the_model_holds_is_counted_alike_above_and_below() -> None:
    assignments = tuple(Assignment(f"{i}", "assigned", np.zeros(1), "x", held=i < 1) for i in range(4))
    text = Report("verify", "f", "m", checks=(check(1),), assignments=assignments).to_text()
    assert "  variables with the file's own numbers: 1 of 4; '1' is one that does not" in text
    assert "  in the file as they are: 4 (the model holds 1 of them)\n" in text


def test_names_that_a_file_does_not_have_are_left_out() -> None:
    nameless = check(3, 0.5, tflite_name="", output="#0")
    text = Report("verify", "f", "m", checks=(nameless,)).to_text()
    assert "operator 3 (CONV_2D), layer 'conv2d_3'" in text
    assert "  output '#0' end to end: " in text
    assert "''" not in text


def test_summary_is_short() -> None:
    many = same(differences=(POOL,) * 500, assignments=(Assignment("a", "unresolved"),) * 500)
    assert len(str(many).splitlines()) < 12


def test_full_text() -> None:
    assert different().to_text() == (
        "palm.tflite -> blazepalm: the model is not the file's network\n"
        "  operators matched: 1\n"
        "  differences: 1 (and 1 accepted)\n"
        "  ambiguities: 1\n"
        "  variables: 1 would be assigned, 1 would be reparametrised, 1 kept, 1 unresolved\n"
        "\n"
        "Differences\n"
        "  1. [attribute] set `pool_size=(2, 2)` on layer 'max_pooling2d': the file has (2, 2) at operator 24 "
        "(MAX_POOL_2D, output 'max_pool'), the model has (5, 5)\n"
        "      1. [shape] the channels after it differ\n"
        "  2. [extra] (accepted) remove layer 'concatenate'\n"
        "\n"
        "Ambiguities\n"
        "  - operators [3, 4] and layers ['a', 'b'] cannot be told apart; for example:\n"
        "      match:\n"
        "        a: '#3'\n"
        "\n"
        "Note: The file computes with integers.\n"
        "\n"
        "Variables\n"
        "  would be assigned: 1\n"
        "  would be reparametrised: 1\n"
        "  kept: 1\n"
        "    head/kernel (by the mapping)\n"
        "  unresolved: 1\n"
        "    seed (nothing in the file determines it)\n"
        "  Reparametrised: the file holds these only merged with others, as a batch norm with its neighbour. The "
        "function is exactly the file's; how it is shared out among them need not be as in the original model. The "
        "batch norms among them hold no statistics of their own: call tflrecover.calibrate(model, data) before "
        "training.\n"
        "\n"
        "Constants of the file: 1 consumed, 1 unexplained\n"
        "  unexplained: tensor 2 'left'\n"
        "\n"
        "The words of this report are explained in docs/report.md.\n"
    )


def test_matches_are_counted_by_step() -> None:
    steps = ("strict both", "mapping", "strict both")
    matches = tuple(Match(op, f"layer_{op}", step) for op, step in enumerate(steps))
    report = same(matches=matches)
    line = "\nMatches by step: 2 strict both, 1 mapping\n"
    assert line in report.to_text(full=True)
    assert line not in report.to_text()


def test_long_lists_are_cut_and_say_so() -> None:
    kept = tuple(Assignment(f"head_{i}/kernel", "kept", None, "by the mapping") for i in range(13))
    left = tuple(ConstantUse(i, f"left_{i}", "unexplained") for i in range(14))
    lines = same(assignments=kept, constants=left).to_text().splitlines()
    assert [line.split()[0] for line in lines if "by the mapping" in line] == [f"head_{i}/kernel" for i in range(12)]
    assert "    and 1 more" in lines
    complete = same(assignments=kept, constants=left).to_text(full=True)
    assert (complete.count("by the mapping"), complete.count("unexplained: tensor")) == (13, 14)
    assert sum(line.startswith("  unexplained: ") for line in lines) == 12
    assert "  and 2 more" in lines


def test_an_error_that_is_no_number_is_the_worst() -> None:
    checks = [check(op, 0.1 + op / 1000) for op in range(20)]
    checks[3:5] = [check(op, math.nan, ok=False) for op in (3, 4)]
    text = Report("verify", "f", "m", checks=tuple(checks)).to_text()
    table = text[text.index("Checks (") :].splitlines()[2:]
    assert [line.split()[0] for line in table] == ["0", "3", "4", "17", "18", "19", "and"]


def test_checks_show_the_outputs_the_first_divergence_and_the_worst() -> None:
    checks = [check(op, 1e-6 * op) for op in range(90)]
    checks[40] = check(40, 2e-4)
    checks[41:80] = [check(op, 0.1 + op / 1000) for op in range(41, 80)]
    checks[89] = check(89, 0.05, output="boxes")
    lines = Report("verify", "f", "m", checks=tuple(checks)).to_text().splitlines()
    table = lines[lines.index("Checks (outputs, the first divergence, the largest errors)") + 2 :]
    assert [line.split()[0] for line in table] == ["40", "75", "76", "77", "78", "79", "89", "and"]
    assert "could not be checked" not in "\n".join(lines)
    assert table[0].endswith("<- first divergence")
    assert table[-2].endswith("output boxes, out of tolerance")
    assert table[-1] == "  and 83 more, 34 of them out of tolerance (--full shows them)"


def test_what_could_not_be_checked_is_named_and_listed() -> None:
    # Its error is the largest, but far within its tolerance.
    checks = (*(check(op, 5e-5) for op in range(7)), COARSE, *(check(op, 9e-5) for op in range(8, 20)))
    report = Report("verify", "f", "m", checks=checks)
    assert report.ok
    assert report.unchecked == [COARSE]
    assert report.first_divergence is None
    lines = report.to_text().splitlines()
    assert (
        "  checked: 19 of 19 operators within tolerance, each on the file's own values (tolerance: what rounding "
        "explains, here at most 0.0001 of the largest value)"
    ) in lines
    assert (
        "  NOT checked: operator 7 (CONV_2D, output 'conv_7'), layer 'conv2d_7': on these inputs rounding explains "
        "more than 20% of the largest value there; give inputs that the network is made for (inputs=, --inputs)"
    ) in lines
    (row,) = [line for line in lines if line.startswith("  7 CONV_2D")]
    assert row.endswith(" not checked")
    assert report.to_dict()["checks"][7]["decides"] is False


def test_a_verification_of_nothing_is_not_ok() -> None:
    assert not Report("verify", "f", "m").ok
    assert not Report("verify", "f", "m", checks=(COARSE,)).ok


def test_all_checks_are_shown_in_full() -> None:
    text = Report("verify", "f", "m", checks=tuple(check(op) for op in range(40))).to_text(full=True)
    table = text[text.index("Checks (") :].splitlines()[2:]
    assert [line.split()[0] for line in table] == [str(op) for op in range(40)]


def test_the_largest_error_alone_is_shown() -> None:
    checks = [check(op, 1e-6, tolerance=1e-6, ok=True) for op in range(9)]
    checks[4] = check(4, 0.01, tolerance=0.1, ok=True)
    text = Report("verify", "f", "m", checks=tuple(checks)).to_text()
    assert "\n  4 CONV_2D" in text


def test_dict_is_json_and_holds_no_arrays() -> None:
    content = different().to_dict()
    assert content["tflrecover_report"] == 1
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["assignments"][0]["value"] == {"shape": [3, 3, 3, 8], "dtype": "float32"}
    assert content["differences"][0]["tflite_value"] == [2, 2]
    assert content["differences"][0]["consequences"][0]["kind"] == "shape"
    assert list(content)[:6] == ["tflrecover_report", "action", "source", "model", "ok", "applied"]


VALUES = [
    (np.float32(0.5), 0.5),
    (np.int64(3), 3),
    (np.bool_(True), True),
    (np.zeros((2, 3), "int8"), {"shape": [2, 3], "dtype": "int8"}),
    (float("nan"), "nan"),
    (np.float32("inf"), "inf"),
    (b"123", {"bytes": 3}),
    (frozenset({"same", "valid"}), ["same", "valid"]),
    ({1: (2, None)}, {"1": [2, None]}),
    (np.dtype("int8"), "int8"),
]


@pytest.mark.parametrize(("value", "plain"), VALUES, ids=[repr(plain) for _, plain in VALUES])
def test_values_in_json(value: Any, plain: Any) -> None:
    difference = Difference("attribute", "", tflite_value=value)
    (found,) = json.loads(same(differences=(difference,)).to_json())["differences"]
    assert found["tflite_value"] == plain


def test_json_is_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.json"
    text = different().to_json(path)
    assert path.read_text(encoding="utf-8") == text
    assert [p.name for p in path.parent.iterdir()] == ["report.json"]
    other = tmp_path / "other"
    other.write_text("", encoding="utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_json_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.json"
    path.write_text("old", encoding="utf-8")

    def full_disk(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(tflrecover.OutputError, match=f"^{path}: cannot be written: No space left on device$"):
        same().to_json(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", [Report.to_json, Report.to_html, Report.to_model_explorer])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, write: Any) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine", encoding="utf-8")
    places = {taken / "new" / "out": f"{taken} is a file, not a folder"}
    if write is Report.to_model_explorer:
        places[taken] = f"{taken} is a file, not a folder"
    else:
        places[tmp_path] = "is a folder; name a file"
    for place, why in places.items():
        with pytest.raises(tflrecover.OutputError) as caught:
            write(same(), str(place))
        assert str(caught.value).startswith(f"{place}: ")
        assert str(caught.value).endswith(why)
        assert caught.value.path == str(place)
    assert taken.read_text(encoding="utf-8") == "mine"


HOSTILE = "\x1b[2J\r\n\u202e\u2028\x9b\ud800\x00"


@given(st.text())
def test_nothing_that_is_shown_commands_a_terminal(name: str) -> None:
    shown = safe(name)
    assert all(c.isprintable() for c in shown)
    shown.encode()


def test_names_from_a_file_are_shown_harmless() -> None:
    report = Report(
        "verify",
        HOSTILE,
        HOSTILE,
        differences=(Difference("extra", HOSTILE, consequences=(Difference("shape", HOSTILE),)),),
        ambiguities=(Ambiguity(HOSTILE, (1,), (HOSTILE,), HOSTILE),),
        assignments=(Assignment(HOSTILE, "unresolved", recipe=HOSTILE), Assignment(HOSTILE, "reparametrised")),
        constants=(ConstantUse(1, HOSTILE, "unexplained"),),
        checks=(check(1, 0.5, tflite_name=HOSTILE, tflite_type=HOSTILE, keras_layer=HOSTILE, output=HOSTILE),),
        notes=(HOSTILE,),
        matches=(Match(1, HOSTILE, HOSTILE),),
    )
    for text in (str(report), report.to_text()):
        assert all(c.isprintable() for c in text.replace("\n", ""))


def test_colours_change_no_character_and_read_no_markup() -> None:
    named = same(notes=("[bold]not markup[/bold]",), differences=(POOL,))
    styled = coloured(named.to_text())
    assert styled.plain == named.to_text()
    shown = {styled.plain[span.start : span.end]: str(span.style) for span in styled.spans}
    assert shown["the model is not the file's network"] == "bold red"
    assert shown["`pool_size=(2, 2)`"] == "cyan"
    assert shown["[attribute]"] == "red"


@pytest.mark.parametrize(
    ("verdict", "style"),
    [
        ("the same network with the same weights", "bold green"),
        ("the same network, 3 of 7 weights differ", "bold yellow"),
        ("not the same network", "bold red"),
    ],
)
def test_colour_of_what_two_of_a_kind_come_to(verdict: str, style: str) -> None:
    styled = coloured(f"a.tflite -> b.tflite: {verdict}")
    assert {str(span.style) for span in styled.spans if styled.plain[span.start : span.end] == verdict} == {style}
