from t import *
from .t import A as B
from . import t
class A(A, t.B, unittest.TestCase): pass
class B(A):
    def test(self): pass
