try:
    import unittest2 as unittest
except ImportError:
    import unittest
class T(unittest.TestCase):
    if True:
        def test(self): pass
    def test_x(self): pass
