"""One small step end to end: a neighbour, a reading and a publishing process, figures."""

from bench.rig import Rig, Shape
from bench.servers.started import start_neighbour


def test_a_step_on_a_healthy_server_is_whole() -> None:
    server = start_neighbour("websockets", "bench.servers.websockets_broadcast")
    with Rig(server, Shape("small", rooms=3, each=4, speakers=2), rest_s=0.0) as rig:
        arrival = rig.arrive(1)
        assert arrival.connections == 9
        step = rig.step(rate=40, seconds=0.25)
        assert step.whole
        assert (step.sent, step.deliveries, step.audited) == (30, 120, 60)
        assert step.frame_bytes == 132
        assert 0 < step.p50_ms <= step.p99_ms <= step.max_ms
        rig.refill()
        again = rig.step(rate=40, seconds=0.25)
        assert again.whole
        assert again.deliveries == 120
    assert all(process.poll() is not None for process in server.processes)
