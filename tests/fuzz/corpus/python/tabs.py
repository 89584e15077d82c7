class A:
	def test(self):
        pass
