"""The types of client messages: what may be left out, what may not, and what a browser can hold."""

import msgspec
import pytest
from msgspec import inspect

from wire.client_messages import (
    INTEGER_MAX,
    PROTOCOL_VERSION,
    SUBPROTOCOL_JSON,
    SUBPROTOCOL_MSGPACK,
    ClientMessage,
    JoinRequest,
    Position,
    ServerMessage,
)

FROM_CLIENTS = [*ClientMessage.__subclasses__(), Position, JoinRequest]


def fields_of(struct: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return info.fields


@pytest.mark.parametrize("struct", FROM_CLIENTS, ids=lambda struct: struct.__name__)
def test_clients_are_held_to_the_fields_there_are(struct: type[msgspec.Struct]) -> None:
    assert struct.__struct_config__.forbid_unknown_fields


@pytest.mark.parametrize("struct", ServerMessage.__subclasses__(), ids=lambda struct: struct.__name__)
def test_servers_may_be_newer_and_leave_out_defaults(struct: type[msgspec.Struct]) -> None:
    assert not struct.__struct_config__.forbid_unknown_fields
    assert struct.__struct_config__.omit_defaults


@pytest.mark.parametrize("struct", [*FROM_CLIENTS, *ServerMessage.__subclasses__()], ids=lambda struct: struct.__name__)
def test_messages_are_values(struct: type[msgspec.Struct]) -> None:
    assert struct.__struct_config__.frozen


@pytest.mark.parametrize("struct", FROM_CLIENTS, ids=lambda struct: struct.__name__)
def test_every_field_of_a_client_is_bounded(struct: type[msgspec.Struct]) -> None:
    for field in fields_of(struct):
        kinds = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
        for kind in kinds:
            match kind:
                case inspect.IntType():
                    assert kind.ge is not None, field.name
                    assert kind.le is not None, field.name
                    assert 0 <= kind.ge <= kind.le <= INTEGER_MAX, field.name
                case inspect.StrType():
                    assert kind.max_length is not None or kind.pattern is not None, field.name
                case inspect.ListType() | inspect.DictType():
                    assert kind.max_length is not None, field.name
                case inspect.StructType() | inspect.NoneType():
                    pass
                case _:
                    raise AssertionError(f"{struct.__name__}.{field.name} is of an unexpected type")


@pytest.mark.parametrize("base", [ClientMessage, ServerMessage])
def test_kinds_are_unique_short_words(base: type[msgspec.Struct]) -> None:
    tags = [str(struct.__struct_config__.tag) for struct in base.__subclasses__()]
    assert len(set(tags)) == len(tags)
    assert all(tag.isalpha() and tag.islower() for tag in tags)


def test_the_subprotocols_name_the_version() -> None:
    assert f"parvis.v{PROTOCOL_VERSION}.msgpack" == SUBPROTOCOL_MSGPACK
    assert f"parvis.v{PROTOCOL_VERSION}.json" == SUBPROTOCOL_JSON
