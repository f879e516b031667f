"""Words and bytes: names, limits, codes, messages and codecs.  No I/O, no clock, no trio."""
