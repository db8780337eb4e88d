from __future__ import annotations

import gc
import weakref

import pytest

from tflrecover.memory import given_back


class _Ring:
    def __init__(self) -> None:
        self.own = self


@pytest.fixture(autouse=True)
def _collecting():
    gc.enable()
    yield
    gc.enable()


def test_what_refers_to_itself_is_freed_at_the_end():
    with given_back():
        held, dropped = _Ring(), _Ring()
        found = weakref.ref(dropped)
        del dropped
        assert found() is not None
    assert found() is None
    assert held.own is held
    assert gc.isenabled()


def test_of_several_each_frees_and_the_outermost_turns_on_again():
    with given_back():
        with given_back():
            dropped = _Ring()
            found = weakref.ref(dropped)
            del dropped
        assert found() is None
        assert not gc.isenabled()
    assert gc.isenabled()


def test_the_collector_stays_off_where_it_was():
    gc.disable()
    with given_back():
        pass
    assert not gc.isenabled()


def test_it_collects_again_after_an_error():
    with pytest.raises(ValueError, match="inside"), given_back():
        raise ValueError("inside")
    assert gc.isenabled()
