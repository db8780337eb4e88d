"""Random networks of every kind: a port is exact, or the ambiguity is told; into another network it is never wrong.

A sweep asks for more and shows what it found: ``TFLRECOVER_RANDOM_MODELS=500 pytest -s``.
"""

import os
from collections import Counter

import keras_models as zoo
import pytest
from hypothesis import HealthCheck, assume, event, example, given, settings
from hypothesis import strategies as st

from tests.core.random_models import CHANGES, MODES, build, convert, mutated, outcome, plans

COUNT = os.environ.get("TFLRECOVER_RANDOM_MODELS")
SETTINGS = settings(
    max_examples=int(COUNT or 10), deadline=None, derandomize=COUNT is None, suppress_health_check=list(HealthCheck)
)
# Half of the files are not quantized.
QUANTIZATIONS = st.sampled_from((*["fp32"] * (len(MODES) - 1), *MODES[1:]))


@pytest.fixture(scope="module")
def tally():
    """What became of the ports, per question and quantization; printed at the end."""
    counts = Counter()
    yield counts
    for (question, mode), _ in sorted(Counter(key[:2] for key in counts).items()):
        print(
            f"\n{question:8}{mode:8}",
            *(f"{n} {key[2]}" for key, n in sorted(counts.items()) if key[:2] == (question, mode)),
        )


def file_of(plan, mode):
    original = zoo.randomize(build(plan), 1)
    try:
        return original, convert(original, mode)
    except Exception:
        # There are models that the converter itself cannot make a file of.
        assume(False)


# A bias of a shared layer that the converter moved on, behind another that one consumer lets no scaling through to.
@example(plan=("vector", 1, [("submodel", 10, 10), ("maximum", 11, 3), ("submodel", 10, 10)]), mode="dynamic")
# A reshape that one consumer takes as it is, and another without the axis that broadcasting puts in front.
@example(plan=("steps", 1, [("pool", 7, 6), ("dense", 0, 1), ("add", 10, 11), ("residual", 3, 2)]), mode="int8")
# A constant in 8 bits that a kernel of both signs sums over: its roundings do not cancel as if all were to one side.
@example(
    plan=(
        "vector",
        1,
        [("submodel", 3, 11), ("standardize", 3, 8), ("submodel", 7, 8), ("scale", 10, 6), ("subtract", 4, 1)],
    ),
    mode="int8",
)
# A bias that a converter has given the four axes of the sum that it was, behind it a scaling for one of two consumers.
@example(
    plan=(
        "image",
        1,
        [
            ("transpose", 7, 5),
            *(("repeated", 8, 5), ("up", 11, 1), ("standardize", 8, 6)),
            *(("separable", 5, 8), ("crop", 8, 8), ("norm", 8, 9)),
        ],
    ),
    mode="fp32",
)
# A batch norm used twice in a row, behind a shared layer whose bias the converter moved on: its beta occurs twice.
@example(
    plan=(
        "vector",
        2,
        [
            *(("submodel", 11, 4), ("norm", 6, 2), ("relu", 5, 10), ("again", 7, 7), ("layer_norm", 5, 7)),
            *(("multiply", 5, 8), ("again", 3, 7), ("excite", 3, 11), ("norm", 2, 0)),
        ],
    ),
    mode="fp32",
)
# Half of a sum that the converter put into two kernels behind a reshape.
@example(
    plan=(
        "image",
        1,
        [
            *(("transpose", 1, 4), ("up", 10, 6), ("likewise", 2, 6), ("repeated", 11, 1)),
            *(("scale", 5, 9), ("average", 6, 3), ("towers", 6, 7), ("conv", 3, 4)),
        ],
    ),
    mode="fp32",
)
# A kernel used twice, once with steps ten times as coarse, for its bias had to fit into 32 bits behind a dead relu.
@example(
    plan=(
        "vector",
        1,
        [
            *(("positions", 8, 1), ("towers", 9, 10), ("excite", 9, 2)),
            *(("average", 11, 11), ("submodel", 1, 7), ("average", 11, 4)),
        ],
    ),
    mode="int8",
)
# Numbers of the code that the file has, and others behind them that went into the weights.
@example(plan=("vector", 1, [("standardize", 0, 0), ("norm", 0, 0), ("norm", 0, 0), ("positions", 8, 0)]), mode="fp32")
@given(plan=plans(), mode=QUANTIZATIONS)
@SETTINGS
def test_port_is_exact_or_ambiguous(tally, plan, mode):
    original, content = file_of(plan, mode)
    kind, why = outcome(content, zoo.randomize(build(plan), 2), original)
    tally["plain", mode, kind] += 1
    event(f"{mode}: {kind}")
    if COUNT is not None and kind == "refused":
        # A sweep goes on, and shows what it was.
        print(f"\nrefused: {mode} {plan}\n{why}")
        return
    assert kind in ("exact", "ambiguous", "unknown"), why


@given(plans(), QUANTIZATIONS, st.integers(0, 11), st.sampled_from(CHANGES), st.integers(0, 11))
@SETTINGS
def test_port_into_another_network_is_never_wrong(tally, plan, mode, place, change, number):
    original, content = file_of(plan, mode)
    kind, why = outcome(content, zoo.randomize(build(mutated(plan, place, change, number)), 2), original)
    tally["mutated", mode, kind] += 1
    event(f"{mode}: {kind}")
    assert kind != "wrong", why
