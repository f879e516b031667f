"""What we have started is ours, while it runs and when it has ended; the rest is the others'."""

import subprocess
import sys

from bench.others import OthersShare, _own_seconds
from bench.procfs import cpu_seconds

SPIN_S = 0.3
_SPIN = f"import time\nwhile time.process_time() < {SPIN_S}: pass\nprint(flush=True); input()"


def test_a_process_that_we_name_is_ours_while_it_runs_and_after_its_end() -> None:
    share = OthersShare([])
    before = _own_seconds([])
    with subprocess.Popen([sys.executable, "-c", _SPIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as spinning:
        assert spinning.stdout is not None
        spinning.stdout.readline()
        assert cpu_seconds([spinning.pid]) >= SPIN_S - 0.02
        assert _own_seconds([spinning.pid]) - _own_seconds([]) >= SPIN_S - 0.05
        # Unnamed it is somebody else's: the machine's work is the same, ours is less.
        assert share.now([]) > share.now([spinning.pid])
        spinning.communicate(b"\n")
    assert _own_seconds([]) - before >= SPIN_S - 0.05
    assert 0 <= share.now([]) <= 1
