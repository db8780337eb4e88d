"""port(): proved by outputs, with no mapping, into a twin with other weights."""

import keras_models as zoo
import numpy as np
import pytest

import tflrecover
from tflrecover import tolerances


@pytest.mark.parametrize("name", sorted(zoo.BUILDERS))
def test_twin_computes_what_the_original_does(name):
    twin, original = zoo.randomize(zoo.BUILDERS[name](), 2), zoo.original(name)
    report = tflrecover.port(zoo.file_of(name), twin)
    assert report.ok
    assert report.applied
    assert {a.state for a in report.assignments} <= {"assigned", "reparametrised"}
    x = (
        np.random.default_rng(3)
        .uniform(0, 1, (1, *original.inputs[0].shape[1:]) if name != "nested" else (1, 5))
        .astype("float32")
    )
    for want, got in zip(as_list(original(x)), as_list(twin(x)), strict=True):
        assert np.abs(want - got).max() <= tolerances.OUTPUT * np.abs(want).max()


def as_list(outputs):
    return [np.asarray(y) for y in (outputs if isinstance(outputs, list) else [outputs])]


def test_verify_agrees_after_port():
    twin = zoo.randomize(zoo.plain(), 2)
    tflrecover.port(zoo.file_of("plain"), twin)
    report = tflrecover.verify(zoo.file_of("plain"), twin)
    assert report.ok
    assert len(report.checks) >= 8
    assert any(check.output for check in report.checks)


def test_verify_names_the_first_divergence():
    twin = zoo.randomize(zoo.plain(), 2)
    tflrecover.port(zoo.file_of("plain"), twin)
    layer = twin.get_layer("point")
    layer.bias.assign(layer.bias + 1.0)
    report = tflrecover.verify(zoo.file_of("plain"), twin)
    assert not report.ok
    # The sum before the activation is fused away in the file; the merge is the first that the file can show.
    assert report.first_divergence.keras_layer in ("point", "merge", "act")


def test_folded_batch_norm_is_the_identity_bit_for_bit():
    twin = zoo.randomize(zoo.plain(), 2)
    report = tflrecover.port(zoo.file_of("plain"), twin)
    bn = twin.get_layer("bn")
    factor = (np.asarray(bn.moving_variance) + np.float32(bn.epsilon)) ** np.float32(-0.5) * np.asarray(bn.gamma)
    assert (factor == 1).all()
    assert not np.asarray(bn.moving_mean).any()
    assert {a.variable: a.state for a in report.assignments}["bn/beta"] == "reparametrised"


def test_plain_weights_are_the_files_own_bits():
    twin, original = zoo.randomize(zoo.plain(), 2), zoo.original("plain")
    tflrecover.port(zoo.file_of("plain"), twin)
    for mine, theirs in zip(twin.get_layer("dense").weights, original.get_layer("dense").weights, strict=True):
        assert np.array_equal(mine, theirs)


def test_heads_of_one_shape_are_told_apart_by_the_signature():
    twin = zoo.randomize(zoo.two_heads(swapped=True), 2)
    tflrecover.port(zoo.file_of("two_heads"), twin)
    original = zoo.original("two_heads")
    for head in ("head_first", "head_second"):
        assert np.array_equal(twin.get_layer(head).kernel, original.get_layer(head).kernel)


def test_skip_keeps_a_layer():
    twin = zoo.randomize(zoo.plain(), 2)
    before = np.asarray(twin.get_layer("dense").kernel)
    report = tflrecover.port(zoo.file_of("plain"), twin, {"tflrecover": 1, "skip": ["dense"]})
    assert np.array_equal(before, twin.get_layer("dense").kernel)
    assert [a.variable for a in report.assignments if a.state == "kept"] == ["dense/kernel", "dense/bias"]


def test_refused_port_leaves_every_bit():
    bad = zoo.randomize(zoo.plain(pool_size=4), 2)
    before = [np.asarray(v).copy() for v in bad.variables]
    with pytest.raises(tflrecover.PortError) as refused:
        tflrecover.port(zoo.file_of("plain"), bad)
    assert all(np.array_equal(a, b) for a, b in zip(before, bad.variables, strict=True))
    assert [d.keras_layer for d in refused.value.report.differences] == ["pool"]
    assert not refused.value.report.applied


def test_strict_false_copies_what_is_sure():
    bad = zoo.randomize(zoo.plain(pool_size=4), 2)
    report = tflrecover.port(zoo.file_of("plain"), bad, strict=False)
    assert not report.ok
    assert np.array_equal(bad.get_layer("dense").kernel, zoo.original("plain").get_layer("dense").kernel)


def test_report_has_the_variables_in_the_models_order_with_the_numbers_that_they_now_have():
    twin = zoo.randomize(zoo.plain(), 2)
    report = tflrecover.port(zoo.file_of("plain"), twin)
    assert [one.variable.split("/")[-1] for one in report.assignments] == [one.name for one in twin.variables]
    for assignment, variable in zip(report.assignments, twin.variables, strict=True):
        assert np.array_equal(assignment.value, variable.numpy())
    # Training changes the model, not the report.
    kept = report.assignments[0].value.copy()
    twin.variables[0].assign_add(np.ones(kept.shape, "float32"))
    assert np.array_equal(report.assignments[0].value, kept)


def test_failed_write_gives_old_values_back(monkeypatch):
    from tflrecover.transfer.apply import apply

    twin = zoo.randomize(zoo.plain(), 2)
    before = [np.asarray(v).copy() for v in twin.variables]
    report = tflrecover.diff(zoo.file_of("plain"), twin)
    broken = [
        *report.assignments[:-1],
        type(report.assignments[-1])("dense/bias", "assigned", np.zeros((99,), "float32")),
    ]
    variables = {a.variable: v for a, v in zip(report.assignments, twin.variables, strict=True)}
    with pytest.raises(ValueError, match="shape"):
        apply(broken, variables)
    assert all(np.array_equal(a, b) for a, b in zip(before, twin.variables, strict=True))


def test_interrupted_rollback_goes_on(monkeypatch):
    twin = zoo.randomize(zoo.plain(), 2)
    before = [np.asarray(v).copy() for v in twin.variables]
    cls = type(twin.variables[0])
    assign, calls = cls.assign, iter(range(1000))

    def interrupted(self, value):
        if next(calls) in (3, 5):
            raise KeyboardInterrupt
        return assign(self, value)

    monkeypatch.setattr(cls, "assign", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tflrecover.port(zoo.file_of("plain"), twin)
    assert all(np.array_equal(a, b) for a, b in zip(before, twin.variables, strict=True))


def test_report_is_ready_for_json():
    report = tflrecover.diff(zoo.file_of("plain"), zoo.plain())
    assert report.to_dict()["ok"] is True
