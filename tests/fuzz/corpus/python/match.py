import unittest
class T[X](unittest.TestCase):
    def test(self, x: f"{1}"):
        match x:
            case [a, *_]: print(f"{a!r:>{10}}")
