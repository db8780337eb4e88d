from typing import Any

import pytest

from tests.reports import ACCEPTED, different, same
from tflrecover import testing


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch):
    def put(report: Any) -> list[Any]:
        calls: list[Any] = []
        monkeypatch.setattr(testing, "diff", lambda *given: calls.append(given) or report)
        return calls

    return put


def test_the_same_gives_the_report(found) -> None:
    report = same(differences=(ACCEPTED,))
    calls = found(report)
    assert testing.assert_same_model("a.tflite", "model", "map.yaml") is report
    assert calls == [("a.tflite", "model", "map.yaml")]


@pytest.mark.parametrize(
    "report", [different(), same(ambiguities=different().ambiguities)], ids=["different", "ambiguous"]
)
def test_another_fails_with_the_text_in_the_line_of_the_test(found, report: Any) -> None:
    found(report)
    with pytest.raises(AssertionError) as caught:
        testing.assert_same_model("a.tflite", "model")
    assert str(caught.value) == report.to_text()
    assert caught.traceback[-1].ishidden(caught)
