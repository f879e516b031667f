"""The bare loop, a moment of it."""

from bench.floor import measure_floor


def test_every_socket_is_sent_to_in_every_round() -> None:
    floor = measure_floor(sockets=5, frame_bytes=132, seconds=0.02, frames_joined=3)
    assert floor.sends > 0
    assert (floor.sends + floor.refused) % 5 == 0
    assert floor.deliveries_per_cpu_s > 0
