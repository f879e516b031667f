"""What holds for every test: hypothesis counts examples, never milliseconds, since the machine is shared."""

from hypothesis import settings

settings.register_profile("parvis", deadline=None)
settings.load_profile("parvis")
