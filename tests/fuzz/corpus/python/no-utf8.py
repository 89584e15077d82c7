# coding: latin-1
class A: "ä"
