"""Prefab's telemetry messages, as far as evaluation counts need them.

Names and numbers are those of Prefab's published prefab.proto. They stand here as a table, since a
few fields do not need protoc and the code it would generate; what is not named is left unread.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "prefab"
_ENUMS = {
    "ConfigType": {
        "NOT_SET_CONFIG_TYPE": 0,
        "CONFIG": 1,
        "FEATURE_FLAG": 2,
        "LOG_LEVEL": 3,
        "SEGMENT": 4,
        "LIMIT_DEFINITION": 5,
        "DELETED": 6,
        "SCHEMA": 7,
        "LOG_LEVEL_V2": 8,
    },
    "LogLevel": {
        "NOT_SET_LOG_LEVEL": 0,
        "TRACE": 1,
        "DEBUG": 2,
        "INFO": 3,
        "WARN": 5,
        "ERROR": 6,
        "FATAL": 9,
    },
    "Reason": {"UNKNOWN": 0},
}
# a label before the type: `repeated`, `optional`, or the name of a oneof
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "TelemetryEvents": {"instance_hash": (1, "string"), "events": (2, "repeated TelemetryEvent")},
    "TelemetryEvent": {
        "summaries": (2, "payload ConfigEvaluationSummaries"),
        "example_contexts": (3, "payload Unread"),
        "client_stats": (4, "payload Unread"),
        "loggers": (5, "payload Unread"),
        "context_shapes": (6, "payload Unread"),
    },
    "Unread": {},
    "ConfigEvaluationSummaries": {
        "start": (1, "int64"),
        "end": (2, "int64"),
        "summaries": (3, "repeated ConfigEvaluationSummary"),
    },
    "ConfigEvaluationSummary": {
        "key": (1, "string"),
        "type": (2, "ConfigType"),
        "counters": (3, "repeated ConfigEvaluationCounter"),
    },
    "ConfigEvaluationCounter": {
        "count": (1, "int64"),
        "config_id": (2, "optional int64"),
        "selected_index": (3, "optional uint32"),
        "selected_value": (4, "ConfigValue"),
        "config_row_index": (5, "optional uint32"),
        "conditional_value_index": (6, "optional uint32"),
        "weighted_value_index": (7, "optional uint32"),
        "reason": (8, "Reason"),
    },
    # of its values, those that a flag or config can be evaluated to
    "ConfigValue": {
        "int": (1, "type int64"),
        "string": (2, "type string"),
        "bytes": (3, "type bytes"),
        "double": (4, "type double"),
        "bool": (5, "type bool"),
        "log_level": (9, "type LogLevel"),
        "string_list": (10, "type StringList"),
        "int_range": (11, "type IntRange"),
        "duration": (15, "type IsoDuration"),
        "json": (16, "type Json"),
    },
    "StringList": {"values": (1, "repeated string")},
    "IntRange": {"start": (1, "optional int64"), "end": (2, "optional int64")},
    "IsoDuration": {"definition": (1, "string")},
    "Json": {"json": (1, "string")},
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="flagmart/prefab.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, values in _ENUMS.items():
        enum = file.enum_type.add(name=name)
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        oneofs: list[str] = []
        for field_name, (number, declared) in fields.items():
            _add_field(message.field.add(name=field_name, number=number), declared, oneofs)
        for oneof in oneofs:
            message.oneof_decl.add(name=oneof)
    return file


def _add_field(
    field: descriptor_pb2.FieldDescriptorProto, declared: str, oneofs: list[str]
) -> None:
    label, _, kind = declared.rpartition(" ")
    field.label = field.LABEL_REPEATED if label == "repeated" else field.LABEL_OPTIONAL
    if kind in _MESSAGES or kind in _ENUMS:
        field.type = field.TYPE_MESSAGE if kind in _MESSAGES else field.TYPE_ENUM
        field.type_name = f".{_PACKAGE}.{kind}"
    else:
        field.type = field.Type.Value(f"TYPE_{kind.upper()}")
    if label == "optional":
        field.proto3_optional = True
        label = f"_{field.name}"
    if label and label != "repeated":
        if label not in oneofs:
            oneofs.append(label)
        field.oneof_index = oneofs.index(label)


# a pool of its own, so that a program that has Prefab's own messages loaded may import this, too
_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())


def _class(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


TelemetryEvents: Any = _class("TelemetryEvents")
TelemetryEvent: Any = _class("TelemetryEvent")
ConfigType: Any = _POOL.FindEnumTypeByName(f"{_PACKAGE}.ConfigType")
LogLevel: Any = _POOL.FindEnumTypeByName(f"{_PACKAGE}.LogLevel")
