"""What is set once for a whole interpreter, each with the figure that it is set for.

Called by the door of a real process before its event loop starts, never by a role.
"""

import gc
import resource
import sys
from typing import Final

# With 14,000 connections the default (700, 10, 10) paused for 332 ms and took a quarter of the
# accepting CPU; these brought both to nothing (DESIGN, section 6).
GC_THRESHOLDS: Final = (50_000, 20, 100)

# How long a running thread keeps the interpreter while another wants it.  A commit thread takes
# it again after each of its system calls.  A commit of four statements on SQLite without fsync,
# while the event loop runs plain Python: p50 21 ms at the default 5 ms, 4.7 at 1, 2.6 at 0.5 and
# 1.3 at 0.1, where the loop lost a quarter of its speed to switching (0.5: a tenth).  While the
# loop sends, all are alike (p50 0.15 ms, 190 commits a second): every send lets go by itself.
SWITCH_INTERVAL_S: Final = 0.0005


def tune_interpreter() -> None:
    """Set the collector and the switch interval; idempotent.

    What exists by now (modules, tables) is taken out of the collector's sight: it lives as
    long as the process, and walking it again and again finds nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def raise_descriptor_limit() -> int:
    """Raise the soft limit on open files to the hard one, and answer it.

    Distributions give 1,024 by default, which is a gateway of a thousand readers.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
