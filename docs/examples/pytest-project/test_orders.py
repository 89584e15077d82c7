import pytest


@pytest.fixture(scope="module")
def order():
    return {"apples": 3}


def test_order_has_apples(order):
    assert order["apples"] == 3


@pytest.mark.slow
@pytest.mark.skip(reason="no shop in this example")
def test_order_arrives(order):
    raise NotImplementedError


@pytest.mark.xfail(reason="orders have no pears yet")
def test_order_has_pears(order):
    assert order["pears"] == 1
