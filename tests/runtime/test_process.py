"""What is set once for an interpreter, tried in one of its own."""

import json
import subprocess
import sys

from tests.support.tree import ROOT


def in_a_process(code: str) -> dict[str, object]:
    """Run `code` in a new interpreter; it prints one JSON object."""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    answer: dict[str, object] = json.loads(ran.stdout)
    return answer


def test_the_collector_and_the_switch_interval_are_set() -> None:
    answer = in_a_process(
        "import gc, json, sys; from runtime.process import tune_interpreter; tune_interpreter(); tune_interpreter();"
        "print(json.dumps({'gc': gc.get_threshold(), 'switch': sys.getswitchinterval(), 'frozen': gc.get_freeze_count()}))"
    )
    assert answer["gc"] == [50_000, 20, 100]
    assert answer["switch"] == 0.0005
    assert isinstance(answer["frozen"], int)
    assert answer["frozen"] > 1000


def test_the_soft_limit_of_descriptors_is_raised_to_the_hard_one() -> None:
    answer = in_a_process(
        "import json, resource; from runtime.process import raise_descriptor_limit;"
        "hard = min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]);"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard));"
        "print(json.dumps({'told': raise_descriptor_limit(), 'again': raise_descriptor_limit(), 'hard': hard,"
        " 'is': resource.getrlimit(resource.RLIMIT_NOFILE)[0]}))"
    )
    assert answer["told"] == answer["again"] == answer["is"] == answer["hard"]
