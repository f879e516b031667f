"""`parvis` as a program of link version 1: it offers no other, knows none of the later words, and cannot say them.

    python -m tests.support.older_program broker --set broker.id=shard-1 ...

A later word that reaches it is to it what it would be to any older program: no message of
ours, and the end of the link (`LATER_WORD` is in the log then).  One that it is made to say
itself is a bug, and in the log as one.
"""

from functools import reduce
from operator import or_
from typing import Final, get_args

import msgspec

from wire import node_messages as words

VERSION: Final = 1
LATER_WORDS: Final = (words.MapNews, words.Doubt)
LATER_WORD: Final = "is none of ours"


def become_older() -> None:
    """Before anything else of the program is imported: modules take these names once."""
    known = reduce(or_, (kind for kind in get_args(words.AnyNodeMessage) if kind not in LATER_WORDS))
    encode = words.encode_node_message

    def encode_known(message: words.NodeMessage) -> bytes:
        assert not isinstance(message, LATER_WORDS), f"{type(message).__name__} on a link of version {VERSION}"
        return encode(message)

    words.LINK_VERSION = VERSION
    words._DECODER = msgspec.msgpack.Decoder(known)
    words.encode_node_message = encode_known


if __name__ == "__main__":
    become_older()
    from parvis.command import main

    main()
