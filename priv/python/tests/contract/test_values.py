"""Values on their way in and out."""

import base64
import datetime
import math

import pytest
from workers import failure


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**63),
        2**64 - 1,
        2**200,
        -(2**200),
        1.5,
        "text",
        "\x00äß🙂",
        "",
        [],
        {},
        [1, [2, [3]], {"a": {"b": None}}],
        {"__bytes__": 1, "b": 2},
        {"__float__": "none"},
        "5",
    ],
    ids=lambda value: repr(value)[:20],
)
def test_values_come_back_as_they_are(client, value):
    assert client.call("mirror", {"value": value})["value"] == value


def test_bytes_arrive_as_bytes_and_come_back(client, transport):
    data = bytes(range(256))
    form = {"__bytes__": base64.b64encode(data).decode()} if transport == "stdio-json" else data
    result = client.call("mirror", {"value": [form]})
    assert result == {"value": [form], "type": "list"}
    assert client.call("mirror", {"value": form})["type"] == "bytes"


@pytest.mark.parametrize(
    ("name", "number"), [("nan", math.nan), ("infinity", math.inf), ("neg_infinity", -math.inf)]
)
def test_floats_that_are_no_numbers(client, transport, name, number):
    form = {"__float__": name} if transport == "stdio-json" else number
    result = client.call("mirror", {"value": form})
    assert result["type"] == "float"
    assert str(result["value"]) == str(form)


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("__import__('numpy').int64(5)", 5),
        ("__import__('numpy').float32(0.5)", 0.5),
        ("__import__('numpy').bool_(True)", True),
        ("__import__('numpy').datetime64('2020-02-03')", "2020-02-03"),
        ("__import__('datetime').date(2020, 2, 3)", "2020-02-03"),
        (
            "__import__('datetime').datetime(2020, 2, 3, 4, 5, 6)",
            datetime.datetime(2020, 2, 3, 4, 5, 6).isoformat(),
        ),
        ("__import__('datetime').time(4, 5)", "04:05:00"),
        ("(1, (2, 'x'))", [1, [2, "x"]]),
        ("__import__('enum').IntEnum('E', 'A').A", 1),
        ("type('S', (str,), {'__str__': lambda _: 'other'})('s')", "s"),
        ("{'a': (), 'b': __import__('numpy').float64('2')}", {"a": [], "b": 2.0}),
    ],
)
def test_python_values_that_travel_as_others(client, code, value):
    found = client.call("evaluate", {"code": f"{{'found': {code}}}"})["found"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("{'a': [1, object()]}", "result.a[1]: an object of type object cannot be sent"),
        ("{'a': {'b': {1}}}", "result.a.b: an object of type set cannot be sent"),
        ("{'a': __import__('decimal').Decimal(1)}", "result.a: an object of type decimal.Decimal"),
        ("{'a': [float('nan'), 1j]}", "result.a[1]: an object of type complex cannot be sent"),
        ("{'a': __import__('numpy').longdouble(1)}", "result.a: an object of type numpy."),
        ("{'a': [__import__('numpy').array(['x'])]}", "result.a[0]: an array of dtype <U1 cannot"),
        ("{'a': chr(0xd800)}", "result.a: a str with surrogates cannot be sent as UTF-8"),
        ("[a := [], a.append(a), {'a': a}][2]", "nested more than 256 deep"),
    ],
)
def test_values_that_cannot_be_sent_are_named_by_their_path(client, code, message):
    failed = failure(client.call, "evaluate", {"code": code})
    assert failed.kind == "encoding"
    assert message in failed.error
    assert client.call("ping")["status"] == "ok"


def test_keys_that_are_no_strings(client, transport):
    inner = client.call("evaluate", {"code": "{'a': {1: 2, None: 3, 1.5: 4}}"})["a"]
    if transport == "stdio-json":
        assert inner == {"1": 2, "null": 3, "1.5": 4}
        assert client.call("evaluate", {"code": "{1: 2}"}) == {"1": 2}
        failed = failure(client.call, "evaluate", {"code": "{'a': {(1, 2): 3}}"})
        assert failed.error.startswith("result.a: the key (1, 2) is an object of type tuple")
    else:
        assert inner == {1: 2, None: 3, 1.5: 4}
        failed = failure(client.call, "evaluate", {"code": "{1: 2}"})
        assert failed.error == "result: the key 1 is an object of type int, not str"
    assert failed.kind == "encoding"


def test_a_result_that_is_no_dict_is_one_with_the_key_result(client):
    assert client.call("evaluate", {"code": "[1]"}) == {"result": [1]}
    assert client.call("evaluate", {"code": "None"}) == {"result": None}


def test_a_result_of_a_megabyte(client):
    assert client.call("evaluate", {"code": "'x' * 2**20"}) == {"result": "x" * 2**20}
