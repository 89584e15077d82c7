from unittest import TestCase as T, case
import unittest.mock as m
B = T
class A(B):
    """:avocado: tags=fast,arch:x86
    :avocado: dependency={"type": "package", "name": "gcc"}
    """
    async def test_a(self): pass
    test_b = None
class C(A):
    def test_c(self): ...
