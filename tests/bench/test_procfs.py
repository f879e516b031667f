"""What is read of Linux: our own process, and a kept listing of `ss`."""

import os

from bench.procfs import SocketMemory, cpu_seconds, parse_socket_memory, pss_kib, steal_ticks

LISTING = """\
ESTAB 0      1310   127.0.0.1:8001  127.0.0.1:40001 skmem:(r0,rb131072,t0,tb65536,f1792,w12544,o0,bl0,d0)
ESTAB 1310   0      127.0.0.1:40001 127.0.0.1:8001  skmem:(r2304,rb4608,t0,tb2626560,f0,w0,o0,bl0,d3)
ESTAB 0      0      127.0.0.1:8001  127.0.0.1:40002 skmem:(r0,rb131072,t0,tb65536,f0,w4096,o0,bl0,d0)
"""


def test_socket_memory_is_summed_by_end_and_port() -> None:
    assert parse_socket_memory(LISTING, 8001, {40001}) == SocketMemory(14336, 2304, 1)
    assert parse_socket_memory(LISTING, 8001, {40001, 40002}) == SocketMemory(18432, 2304, 2)
    assert parse_socket_memory(LISTING, 9000, {40001}) == SocketMemory(0, 0, 0)


def test_our_own_process_uses_cpu_and_memory() -> None:
    pid = os.getpid()
    assert cpu_seconds([pid]) > 0
    assert pss_kib([pid]) > 1000
    assert steal_ticks() >= 0
