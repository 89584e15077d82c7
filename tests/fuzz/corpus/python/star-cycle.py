from t import *
from .t impotrimport *
from .t impotr A as B
from . import t
class A(A, t.B, unittest.TestCase): pass
mtest(self): pass&
