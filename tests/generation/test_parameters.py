"""What differs between places that do the same."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tflrecover.generation.parameters import has_more, varying
from tflrecover.generation.steps import Form, Step

NAMES = ("filters", "units", "scale", "padding", "value")
LITERALS = st.sampled_from(["8", "16", "24", "48", "1", "2", "0.5", '"same"'])
STEP = Step(Form("layers.Dense", (), (), NAMES, ("",) * len(NAMES)), (0,), (), (1,))


@given(
    st.integers(2, 4).flatmap(
        lambda n: st.lists(st.lists(st.tuples(*[LITERALS] * 5), min_size=3, max_size=3), min_size=n, max_size=n)
    )
)
def test_too_many_are_known_before_they_are_chosen(literals):
    places = [[replace(STEP, literals=row) for row in rows] for rows in literals]
    count = len(varying(places).columns)
    for most in range(12):
        assert not has_more(places, most) or count > most
    # Nothing is large here: it is known exactly.
    small = [[replace(step, literals=tuple(f"-{one}" for one in step.literals)) for step in steps] for steps in places]
    count = len(varying(small).columns)
    assert [has_more(small, most) for most in range(16)] == [count > most for most in range(16)]
