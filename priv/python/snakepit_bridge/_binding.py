"""Binding of arguments: each handler gets a function made for its signature.

For ``def summarize(text: str, limit: int = 100)`` it is

    def invoke(args, call):
        count = 2
        try:
            a0 = args['text']
        except KeyError:
            raise missing('text', args) from None
        if type(a0) is not str:
            a0 = convert0(a0)
        a1 = args.get('limit', absent)
        if a1 is absent:
            a1 = default1
            count -= 1
        elif type(a1) is not int:
            a1 = convert1(a1)
        if len(args) != count:
            raise unknown(args)
        return deliver(function(a0, a1))

so that a call costs a few lookups and type tests. A loop over the parameters costs several times
as much, and there is no way to a straight line in Python but to write it as text.
"""

from __future__ import annotations

from types import GenericAlias

from ._annotations import resolve
from ._checks import Mismatch, check_for
from ._context import Context
from ._exceptions import InvalidArguments
from ._functions import place
from ._signature import (
    DOUBLE_STAR,
    KEYWORD,
    POSITIONAL,
    STAR,
    UNANNOTATED,
    Parameter,
    parameters,
)
from ._suggest import closest, hint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._checks import Check
    from ._sessions import Sessions

#: The file name of the generated functions, by which tracebacks leave them out.
GENERATED = "<snakepit_bridge binding>"

ABSENT: Any = object()


class Signature:
    """The parameters of a handler: its own, and those that arguments bind to."""

    def __init__(self, function: Callable[..., Any], takes_chunks: bool) -> None:
        everything, self.names = parameters(function)
        self.context = self._find_context(everything)
        rest = [each for each in everything if each is not self.context]
        self.chunks = self._find_chunks(rest, function) if takes_chunks else None
        # Keyword arguments that a handler collects may have any name, also that of its *args,
        # so that what a decorator without functools.wraps leaves still works.
        if any(each.kind == DOUBLE_STAR for each in rest):
            rest = [each for each in rest if each.kind != STAR]
        self.everything = everything
        self.bound = [each for each in rest if each is not self.chunks]

    def _find_context(self, everything: list[Parameter]) -> Parameter | None:
        plain = [each for each in everything if each.kind not in (STAR, DOUBLE_STAR)]
        for index, each in enumerate(plain):
            note = resolve(each.annotation, self.names)
            if note is Context or (isinstance(note, str) and note.split(".")[-1] == "Context"):
                return each
            if index == 0 and each.name == "ctx" and note is UNANNOTATED:
                return each
        return None

    @staticmethod
    def _find_chunks(rest: list[Parameter], function: Callable[..., Any]) -> Parameter:
        plain = [each for each in rest if each.kind not in (STAR, DOUBLE_STAR)]
        for each in plain:
            if each.name == "chunks":
                return each
        if not plain or plain[0].kind == KEYWORD:
            raise TypeError(f"{place(function)} has no parameter for the chunks of its caller")
        return plain[0]


def compile_binding(
    function: Callable[..., Any],
    deliver: Callable[[Any], Any] | None,
    sessions: Sessions,
    takes_chunks: bool,
) -> Callable[..., Any]:
    """A function ``(args, call)`` or ``(args, call, chunks)`` that binds the arguments and calls.

    What the function returns goes through ``deliver``; if that is None, a dict is returned as it is
    and any other value ``v`` as ``{"result": v}``. Raises InvalidArguments, when called, if the
    arguments do not fit.
    """
    signature = Signature(function, takes_chunks)
    writer = _Writer(signature)
    source = writer.write(takes_chunks, deliver is None)
    scope = writer.scope
    scope.update(
        function=function, deliver=deliver, sessions=sessions, Context=Context, absent=ABSENT
    )
    exec(compile(source, GENERATED, "exec"), scope)
    invoke: Callable[..., Any] = scope["invoke"]
    return invoke


class _Writer:
    """Writes the source of one binding, and the scope that it runs in."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._errors = _Errors(signature)
        self._lines: list[str] = []
        self.scope: dict[str, Any] = {
            "missing": self._errors.missing,
            "unknown": self._errors.unknown,
        }

    def write(self, takes_chunks: bool, wrap: bool) -> str:
        bound = self._signature.bound
        rest = next((each for each in bound if each.kind == DOUBLE_STAR), None)
        named = [each for each in bound if each is not rest]
        self._add(f"count = {len(named)}")
        for index, each in enumerate(named):
            self._bind(index, each)
        if rest is None:
            self._add("if len(args) != count:", "    raise unknown(args)")
        else:
            self.scope["collect"] = self._collector(rest, {each.name for each in named})
            self._add("rest = {} if len(args) == count else collect(args)")
        call = f"function({', '.join(self._call_arguments(named))})"
        if wrap:
            self._add(f"result = {call}")
            self._add("return result if isinstance(result, dict) else {'result': result}")
        else:
            self._add(f"return deliver({call})")
        head = "def invoke(args, call, chunks):" if takes_chunks else "def invoke(args, call):"
        return "\n".join([head, *(f"    {line}" for line in self._lines)])

    def _add(self, *lines: str) -> None:
        self._lines += lines

    def _bind(self, index: int, parameter: Parameter) -> None:
        value = f"a{index}"
        check = self._check(parameter)
        if parameter.required:
            self._add("try:", f"    {value} = args[{parameter.name!r}]", "except KeyError:")
            self._add(f"    raise missing({parameter.name!r}, args) from None")
            branch = "if"
        else:
            default = () if parameter.kind == STAR else parameter.default
            self.scope[f"default{index}"] = default
            self._add(f"{value} = args.get({parameter.name!r}, absent)")
            self._add(f"if {value} is absent:", f"    {value} = default{index}", "    count -= 1")
            branch = "elif"
        if check is not None:
            self.scope[f"convert{index}"] = _converter(parameter.name, check.convert)
            self._add(f"{branch} {self._refused(index, value, check)}:")
            self._add(f"    {value} = convert{index}({value})")

    def _check(self, parameter: Parameter) -> Check | None:
        annotation = parameter.annotation
        if parameter.kind == STAR:
            annotation = list if annotation is UNANNOTATED else GenericAlias(list, (annotation,))
        return check_for(annotation, self._names)

    @property
    def _names(self) -> dict[str, Any]:
        return self._signature.names

    def _refused(self, index: int, value: str, check: Check) -> str:
        """The condition under which a value is not taken as it is."""
        if not check.accepts:
            return "True"
        if len(check.accepts) > 1:
            self.scope[f"types{index}"] = check.accepts
            return f"type({value}) not in types{index}"
        (self.scope[f"type{index}"],) = check.accepts
        return f"type({value}) is not type{index}"

    def _call_arguments(self, named: list[Parameter]) -> list[str]:
        values = {each.name: f"a{index}" for index, each in enumerate(named)}
        written = []
        for each in self._signature.everything:
            if each is self._signature.context:
                value = "Context(call, sessions)"
            elif each is self._signature.chunks:
                value = "chunks"
            elif each.kind == DOUBLE_STAR:
                value = "**rest"
            elif each.name in values:
                value = values[each.name]
            else:
                continue  # *args beside **kwargs
            if each.kind == STAR:
                value = f"*{value}"
            elif each.kind == KEYWORD:
                value = f"{each.name}={value}"
            written.append(value)
        return written

    def _collector(self, rest: Parameter, named: set[str]) -> Callable[[Any], dict[str, Any]]:
        check = check_for(rest.annotation, self._names)
        taken = {
            each.name
            for each in self._signature.everything
            if each.kind in (POSITIONAL, KEYWORD) and each.name not in named
        }

        def collect(args: dict[str, Any]) -> dict[str, Any]:
            found = {}
            for name, value in args.items():
                if name in taken:
                    raise InvalidArguments(name, f"argument {name!r} is not the caller's to give")
                if name not in named:
                    found[name] = value if check is None else _converter(name, check)(value)
            return found

        return collect


class _Errors:
    """The errors of one handler's arguments."""

    def __init__(self, signature: Signature) -> None:
        self._known = [each.name for each in signature.bound if each.kind != DOUBLE_STAR]
        self._open = any(each.kind == DOUBLE_STAR for each in signature.bound)

    def missing(self, name: str, args: dict[str, Any]) -> InvalidArguments:
        message = f"argument {name!r} is missing"
        others = [] if self._open else [each for each in args if each not in self._known]
        alike = closest(name, others)
        if alike is not None:
            message += f"; there is an unknown {alike!r}, did you mean {name!r}?"
        return InvalidArguments(name, message)

    def unknown(self, args: dict[str, Any]) -> InvalidArguments:
        name = next(each for each in args if each not in self._known)
        return InvalidArguments(
            name, f"unknown argument {name!r}{hint(name, self._known, 'arguments')}"
        )


def _converter(name: str, convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def converter(value: Any) -> Any:
        try:
            return convert(value)
        except Mismatch as mismatch:
            path = name + mismatch.path
            got = describe(mismatch.value)
            raise InvalidArguments(
                name, f"argument {path!r} must be {mismatch.expected}, got {got}"
            ) from None

    return converter


def describe(value: Any) -> str:
    """The type of a value, and the value itself if it is short."""
    name = type(value).__name__
    if value is None:
        return name
    if isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 10**20):
        return f"{name} {value!r}"
    if isinstance(value, (str, bytes)):
        return f"{name} {value!r}" if len(value) <= 40 else f"{name} of length {len(value)}"
    return f"{name} of length {len(value)}" if isinstance(value, (list, tuple, dict)) else name
