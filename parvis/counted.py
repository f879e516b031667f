"""How many of something, as a person says it.  Pure."""


def counted(number: int, noun: str) -> str:
    """``1 room``, ``2,000 rooms``; for nouns whose plural is an s more."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
