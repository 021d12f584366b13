"""How the arguments of a call come to the parameters of a handler."""

import functools
import math

import pytest
from support import make_call

from snakepit_bridge import Context, InvalidArguments


def refusal(invoke, function, /, **args):
    with pytest.raises(InvalidArguments) as caught:
        invoke(function, **args)
    return caught.value


def test_arguments_bind_by_name(invoke):
    def handler(first, second):
        return [first, second]

    assert invoke(handler, second=2, first=1) == {"result": [1, 2]}


def test_an_argument_that_is_not_given_takes_its_default(invoke):
    def handler(a, b=20, *, c=30):
        return [a, b, c]

    assert invoke(handler, a=1) == {"result": [1, 20, 30]}
    assert invoke(handler, a=1, c=3) == {"result": [1, 20, 3]}
    assert invoke(handler, a=1, b=2) == {"result": [1, 2, 30]}


def test_a_default_is_not_checked(invoke):
    def handler(limit: int = None):  # type: ignore[assignment]  # noqa: RUF013
        return limit

    assert invoke(handler) == {"result": None}


def test_a_missing_argument_is_named(invoke):
    def handler(text: str, limit: int = 3): ...

    error = refusal(invoke, handler)
    assert error.name == "text"
    assert str(error) == "argument 'text' is missing"


def test_a_missing_argument_that_was_misspelt_is_recognised(invoke):
    def handler(text: str): ...

    error = refusal(invoke, handler, txt="a")
    assert error.name == "text"
    assert "'txt', did you mean 'text'?" in str(error)


def test_an_unknown_argument_is_named_with_the_one_that_was_meant(invoke):
    def handler(text: str, limit: int = 3): ...

    error = refusal(invoke, handler, text="a", limt=3)
    assert error.name == "limt"
    assert str(error) == "unknown argument 'limt', did you mean 'limit'?"


def test_an_unknown_argument_like_no_other_brings_the_list_of_arguments(invoke):
    def handler(text: str, limit: int = 3): ...

    assert str(refusal(invoke, handler, text="a", zzz=3)).endswith("arguments: limit, text")


def test_an_argument_to_a_handler_without_any_is_refused(invoke):
    def handler(): ...

    assert str(refusal(invoke, handler, a=1)) == "unknown argument 'a'; there are no arguments"


def test_keyword_only_parameters_bind(invoke):
    def handler(*, a: int, b: int = 2):
        return [a, b]

    assert invoke(handler, a=1) == {"result": [1, 2]}
    assert refusal(invoke, handler, b=1).name == "a"


def test_positional_only_parameters_bind_by_name(invoke):
    def handler(a, b=2, /, c=3):
        return [a, b, c]

    assert invoke(handler, a=1, c=4) == {"result": [1, 2, 4]}


def test_double_star_takes_what_no_parameter_takes(invoke):
    def handler(a, **rest):
        return [a, rest]

    assert invoke(handler, a=1) == {"result": [1, {}]}
    assert invoke(handler, a=1, b=2, c=3) == {"result": [1, {"b": 2, "c": 3}]}


def test_double_star_checks_its_values(invoke):
    def handler(**counts: int):
        return counts

    assert invoke(handler, a=1, b=2) == {"a": 1, "b": 2}
    assert str(refusal(invoke, handler, a=1, b="x")) == "argument 'b' must be int, got str 'x'"


def test_star_takes_a_list_under_its_name(invoke):
    def handler(first, *others: int, last=0):
        return [first, others, last]

    assert invoke(handler, first=1) == {"result": [1, (), 0]}
    assert invoke(handler, first=1, others=[2, 3], last=4) == {"result": [1, (2, 3), 4]}
    assert "'others[1]' must be int" in str(refusal(invoke, handler, first=1, others=[2, "x"]))


def test_a_wrapper_that_hides_the_signature_still_gets_all_arguments(invoke):
    def handler(args, kwargs):
        return [args, kwargs]

    def wrapper(*args, **kwargs):
        return handler(*args, **kwargs)

    assert invoke(wrapper, args=1, kwargs=2) == {"result": [1, 2]}


def test_a_wrapped_function_is_bound_by_the_signature_below(invoke):
    def handler(count: int):
        return count

    @functools.wraps(handler)
    def wrapper(*args, **kwargs):
        return handler(*args, **kwargs) + 1

    assert invoke(wrapper, count=1) == {"result": 2}
    assert refusal(invoke, wrapper, count="1").name == "count"


def test_methods_and_callable_objects_are_handlers(invoke):
    class Model:
        def predict(self, x: int):
            return x + 1

        @classmethod
        def describe(cls, y: int):
            return y + 2

        @staticmethod
        def score(z: int):
            return z + 3

        def __call__(self, w: int):
            return w + 4

    assert invoke(Model().predict, x=1) == {"result": 2}
    assert invoke(Model.describe, y=1) == {"result": 3}
    assert invoke(Model.score, z=1) == {"result": 4}
    assert invoke(Model(), w=1) == {"result": 5}
    assert refusal(invoke, Model().predict, x="1").name == "x"
    assert refusal(invoke, Model(), w="1").name == "w"


def test_partial_functions_builtins_and_classes_are_handlers(invoke):
    def handler(a, b: int):
        return [a, b]

    class Point:
        def __init__(self, x: int):
            self.x = x

    assert invoke(functools.partial(handler, 1), b=2) == {"result": [1, 2]}
    assert invoke(math.sqrt, x=9) == {"result": 3.0}
    assert invoke(Point, x=9)["result"].x == 9


def test_a_parameter_annotated_context_is_the_context(invoke):
    def handler(a, the_call: Context, b=2):
        return [a, the_call.request_id, b]

    assert invoke(handler, a=1) == {"result": [1, "request-1", 2]}


def test_a_keyword_only_context_is_filled(invoke):
    def handler(*names, call: Context):
        return [names, call.worker_id]

    assert invoke(handler, names=["a"]) == {"result": [("a",), "worker-1"]}


def test_a_first_parameter_named_ctx_is_the_context(invoke):
    def handler(ctx, a):
        return [ctx.worker_id, a]

    assert invoke(handler, a=1) == {"result": ["worker-1", 1]}


def test_another_parameter_named_ctx_is_an_argument(invoke):
    def second(a, ctx):
        return [a, ctx]

    def annotated(ctx: str):
        return ctx

    assert invoke(second, a=1, ctx=2) == {"result": [1, 2]}
    assert invoke(annotated, ctx="x") == {"result": "x"}


def test_the_caller_cannot_give_the_context(invoke):
    def closed(ctx: Context): ...

    def open_to_all(ctx: Context, **rest): ...

    assert refusal(invoke, closed, ctx=1).name == "ctx"
    assert refusal(invoke, open_to_all, ctx=1).name == "ctx"


def test_a_result_that_is_no_dict_is_wrapped(invoke):
    class Row(dict):
        pass

    assert invoke(lambda: {"a": 1}) == {"a": 1}
    assert invoke(lambda: Row(a=1)) == {"a": 1}
    assert invoke(lambda: None) == {"result": None}
    assert invoke(lambda: [1]) == {"result": [1]}


def test_what_a_handler_raises_comes_through(invoke):
    def handler(args: dict):
        return args["missing"]

    with pytest.raises(KeyError, match="missing"):
        invoke(handler, args={})


def test_a_parameter_may_have_any_name(invoke):
    def handler(args, call, count, function, rest, result, absent, a0, a1, convert0: int = 1):
        return [args, call, count, function, rest, result, absent, a0, a1, convert0]

    names = ["args", "call", "count", "function", "rest", "result", "absent", "a0", "a1"]
    given = {name: index for index, name in enumerate(names)}
    assert invoke(handler, **given, convert0=9) == {"result": [*range(9), 9]}


def test_the_chunks_of_the_caller_go_to_the_parameter_of_that_name(entry):
    def handler(ctx: Context, start: int, chunks):
        return start + sum(chunk["n"] for chunk in chunks)

    chunks = iter([{"n": 1}, {"n": 2}])
    bound = entry(handler, "client_stream")
    assert bound.invoke({"start": 10}, make_call(), chunks) == {"result": 13}


def test_the_chunks_of_the_caller_else_go_to_the_first_parameter(entry):
    def handler(ctx, numbers, scale: int = 1):
        return scale * sum(chunk["n"] for chunk in numbers)

    bound = entry(handler, "client_stream")
    assert bound.invoke({"scale": 2}, make_call(), iter([{"n": 3}])) == {"result": 6}
    with pytest.raises(InvalidArguments):
        bound.invoke({"numbers": 2}, make_call(), iter([]))


def test_a_client_stream_without_a_parameter_for_chunks_is_refused(entry):
    def handler(ctx: Context): ...

    with pytest.raises(TypeError, match="no parameter for the chunks"):
        entry(handler, "client_stream")
