"""How much the property tests try: the same examples in every run of a check, other and many more in the long one."""

from hypothesis import settings

settings.register_profile("check", derandomize=True, deadline=None)
settings.register_profile("long", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile("check")
