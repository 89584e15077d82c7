class \
 A(
# ä
): '''
