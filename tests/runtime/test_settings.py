"""Settings: four sources in order, and an error that says what, where and what was meant."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.schema import Settings
from runtime.settings import KEYS, Loaded, SettingsError, load_settings


def problems_of(**sources: object) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        load_settings(**sources)  # type: ignore[arg-type]
    assert str(raised.value) == "\n".join(raised.value.problems)
    return raised.value.problems


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "parvis.toml"
    path.write_text('data_dir = "/srv/parvis"\n[gateway]\nport = 9001\nhost = "0.0.0.0"\norigins = ["https://a.example"]\n')
    return path


def test_without_any_source_all_is_default() -> None:
    loaded = load_settings()
    assert loaded.settings == Settings()
    assert loaded.origin_of("gateway.port") == "default"


def test_each_source_outranks_the_one_before(toml: Path) -> None:
    environment = {"PARVIS_GATEWAY__PORT": "9002", "PARVIS_GATEWAY__ADMIN_PORT": "9102", "HOME": "/root"}
    loaded = load_settings(file=toml, environment=environment, flags={"gateway.port": 9003})
    gateway = loaded.settings.gateway
    assert (gateway.host, gateway.port, gateway.admin_port) == ("0.0.0.0", 9003, 9102)
    assert loaded.settings.data_dir == "/srv/parvis"
    assert loaded.origin_of("gateway.host") == str(toml)
    assert loaded.origin_of("gateway.admin_port") == "environment PARVIS_GATEWAY__ADMIN_PORT"
    assert loaded.origin_of("gateway.port") == "flag gateway.port"
    assert loaded.origin_of("log.level") == "default"


def test_rows_tell_every_key_with_value_and_origin(toml: Path) -> None:
    rows = {key: (value, origin) for key, value, origin in load_settings(file=toml).rows()}
    assert list(rows) == list(KEYS)
    assert rows["gateway.port"] == (9001, str(toml))
    assert rows["data_dir"] == ("/srv/parvis", str(toml))
    assert rows["broker.id"] == ("shard-1", "default")


@pytest.mark.parametrize("text", ["https://a.example,https://b.example", '["https://a.example", "https://b.example"]'])
def test_a_list_in_the_environment_is_commas_or_json(text: str) -> None:
    loaded = load_settings(environment={"PARVIS_GATEWAY__ORIGINS": text})
    assert loaded.settings.gateway.origins == ["https://a.example", "https://b.example"]


@pytest.mark.parametrize("text", ["shard-1=a:8101, shard-2=b:8101", '{"shard-1": "a:8101", "shard-2": "b:8101"}'])
def test_a_table_in_the_environment_is_pairs_or_json(text: str) -> None:
    loaded = load_settings(environment={"PARVIS_CLUSTER__SHARDS": text})
    assert loaded.settings.cluster.shards == {"shard-1": "a:8101", "shard-2": "b:8101"}


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False), ("1", True), ("0", False)])
def test_a_switch_in_the_environment_is_true_or_false(text: str, value: bool) -> None:
    assert load_settings(environment={"PARVIS_GATEWAY__DEFLATE": text}).settings.gateway.deflate is value
    (problem,) = problems_of(environment={"PARVIS_GATEWAY__DEFLATE": f"{text}ly"})
    assert "Expected `bool`" in problem


def test_an_empty_list_is_empty() -> None:
    assert load_settings(environment={"PARVIS_ROOMS__NAMESPACES": ""}).settings.rooms.namespaces == []


def test_flags_are_values_or_texts() -> None:
    loaded = load_settings(flags={"gateway.ping_interval_s": "30", "gateway.pong_timeout_s": 5})
    assert (loaded.settings.gateway.ping_interval_s, loaded.settings.gateway.pong_timeout_s) == (30.0, 5.0)


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        (
            {"PARVIS_GATEWAY__PROT": "1"},
            "unknown setting gateway.prot (environment PARVIS_GATEWAY__PROT); did you mean PARVIS_GATEWAY__PORT?",
        ),
        (
            {"PARVIS_GATEWAY_PORT": "8001"},
            "unknown setting gateway_port (environment PARVIS_GATEWAY_PORT); did you mean PARVIS_GATEWAY__PORT?",
        ),
        (
            {"PARVIS_KEEP_EVENTS": "1"},
            "unknown setting keep_events (environment PARVIS_KEEP_EVENTS); did you mean PARVIS_JOURNAL__KEEP_EVENTS?",
        ),
        ({"PARVIS_ZZZ": "1"}, "unknown setting zzz (environment PARVIS_ZZZ)"),
    ],
)
def test_an_unknown_variable_is_an_error_with_a_suggestion(environment: dict[str, str], problem: str) -> None:
    assert problems_of(environment=environment) == [problem]


def test_an_unknown_key_or_section_of_the_file_is_an_error_with_a_suggestion(tmp_path: Path) -> None:
    path = tmp_path / "parvis.toml"
    path.write_text('datadir = "x"\n[gatway]\nport = 1\n[gateway]\nconections_max = 5\nport = 8001\n')
    assert problems_of(file=path) == [
        f"unknown setting datadir ({path}); did you mean data_dir?",
        f"unknown section [gatway] ({path}); did you mean [gateway]?",
        f"unknown setting gateway.conections_max ({path}); did you mean gateway.connections_max?",
    ]


def test_a_section_that_is_no_table_is_told_what_it_has() -> None:
    (problem,) = problems_of(flags={"log": "debug"})
    assert problem == "log (flag log) is a section, not a setting: it has level, form"


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        (
            {"PARVIS_GATEWAY__PORT": "70000"},
            "gateway.port = '70000' (environment PARVIS_GATEWAY__PORT): Expected `int` <= 65535",
        ),
        ({"PARVIS_GATEWAY__PORT": "http"}, "gateway.port = 'http' (environment PARVIS_GATEWAY__PORT): Expected `int`, got `str`"),
        (
            {"PARVIS_GATEWAY__PING_INTERVAL_S": "inf"},
            "gateway.ping_interval_s = 'inf' (environment PARVIS_GATEWAY__PING_INTERVAL_S): Expected a finite number",
        ),
        (
            {"PARVIS_CLUSTER__SHARDS": "a:8101"},
            "cluster.shards = 'a:8101' (environment PARVIS_CLUSTER__SHARDS): Expected name=value, got 'a:8101'",
        ),
    ],
)
def test_a_bad_value_names_key_value_origin_and_bound(environment: dict[str, str], problem: str) -> None:
    assert problems_of(environment=environment) == [problem]


def test_broken_json_in_the_environment_is_a_problem_not_a_crash() -> None:
    (problem,) = problems_of(environment={"PARVIS_GATEWAY__ORIGINS": "[oops"})
    assert problem.startswith("gateway.origins = '[oops' (environment PARVIS_GATEWAY__ORIGINS): ")


def test_a_number_as_text_in_the_file_is_the_wrong_type(tmp_path: Path) -> None:
    path = tmp_path / "parvis.toml"
    path.write_text('[gateway]\nport = "8001"\n')
    assert problems_of(file=path) == [f"gateway.port = '8001' ({path}): Expected `int`, got `str`"]


def test_a_long_value_is_cut_in_the_message() -> None:
    (problem,) = problems_of(environment={"PARVIS_LOG__LEVEL": "x" * 500})
    assert len(problem) < 250


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "parvis.toml"
    path.write_text("[gateway]\nport = -1\n")
    assert len(problems_of(file=path, environment={"PARVIS_LOG__LEVEL": "loud"}, flags={"nonsense": 1})) == 3


def test_a_broken_relation_names_where_both_values_came_from(toml: Path) -> None:
    (problem,) = problems_of(file=toml, flags={"gateway.connections_max": 100})
    assert problem == (
        "gateway.connections_soft_max 14000 exceeds gateway.connections_max 100"
        " (gateway.connections_soft_max from default, gateway.connections_max from flag gateway.connections_max)"
    )


@pytest.mark.parametrize(
    ("content", "part"), [(b"[gateway\n", "is not TOML"), (b"\xff\xfe", "is not TOML"), (None, "cannot read the settings file")]
)
def test_a_file_that_cannot_be_used_is_one_problem(tmp_path: Path, content: bytes | None, part: str) -> None:
    path = tmp_path / "parvis.toml"
    if content is not None:
        path.write_bytes(content)
    (problem,) = problems_of(file=path)
    assert part in problem
    assert str(path) in problem


def test_the_variable_that_names_the_file_is_no_setting() -> None:
    assert load_settings(environment={"PARVIS_CONFIG": "/etc/parvis.toml"}).settings == Settings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PARVIS_SERVICE_HOST", "10.0.0.1"),
        ("PARVIS_GATEWAY_SERVICE_PORT_WS", "8001"),
        ("PARVIS_GATEWAY_PORT", "tcp://10.0.0.1:8001"),
        ("PARVIS_GATEWAY_PORT_8001_TCP", "tcp://10.0.0.1:8001"),
        ("PARVIS_GATEWAY_PORT_8001_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_what_kubernetes_adds_beside_a_service_is_not_taken_for_settings(variable: str, value: str) -> None:
    assert load_settings(environment={variable: value}).settings == Settings()


@given(st.dictionaries(st.sampled_from(sorted(KEYS)), st.text(max_size=12), max_size=5))
def test_any_texts_give_settings_or_a_settings_error(flags: dict[str, str]) -> None:
    try:
        loaded = load_settings(flags=flags)
    except SettingsError:
        return
    assert isinstance(loaded, Loaded)
