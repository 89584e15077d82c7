import unittest
class T(unittest.TestCase):
    "\u00e4"
    def test_a(self):
        r"""x
        :avocado: disable
        """
    def test_b(self):
        """:avocado: dependency={"type": 1}
        :avocado: recursive"""
