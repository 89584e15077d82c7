import pytest
from prices import discounted


@pytest.mark.parametrize("percent, expected", [(0, 80), (25, 60), (100, 0)])
def test_discount(percent, expected):
    assert discounted(80, percent) == expected


def test_more_than_all_is_refused():
    with pytest.raises(ValueError):
        discounted(80, 150)
