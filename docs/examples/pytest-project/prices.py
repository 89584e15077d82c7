"""What the tests of this project test."""


def discounted(price, percent):
    """Returns a price less a discount in percent, from 0 to 100."""
    return price * (100 - percent) // 100
