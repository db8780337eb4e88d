"""docs/generated.md shows what is written for its files."""

import pytest

from tests.generation.documented import FILES, generated, shown

MOST_LINES = 120


def test_the_page_shows_all_of_them_and_each_is_short() -> None:
    sources = shown()
    assert set(sources) == set(FILES)
    assert all(source.count("\n") < MOST_LINES for source in sources.values())


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("palm")])
def test_the_page_is_up_to_date(name: str) -> None:
    path = FILES[name]()
    if not path.is_file():
        pytest.skip(f"needs {path}")
    assert shown()[name] == generated(name)
