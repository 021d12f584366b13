"""The parameters of a handler."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: The default of a parameter that has none.
REQUIRED: Any = object()
#: The annotation of a parameter that has none.
UNANNOTATED: Any = object()

POSITIONAL_ONLY, POSITIONAL, STAR, KEYWORD, DOUBLE_STAR = range(5)

VARARGS = 0x04
VARKEYWORDS = 0x08


class Parameter:
    """One parameter; ``kind`` is one of the constants above."""

    __slots__ = ("annotation", "default", "kind", "name")

    def __init__(self, name: str, kind: int, default: Any, annotation: Any) -> None:
        self.name = name
        self.kind = kind
        self.default = default
        self.annotation = annotation

    @property
    def required(self) -> bool:
        return self.default is REQUIRED and self.kind not in (STAR, DOUBLE_STAR)


def parameters(function: Callable[..., Any]) -> tuple[list[Parameter], dict[str, Any]]:
    """The parameters in their order, and the names that their annotations refer to."""
    target: Any = function
    bound = 0
    while True:
        if hasattr(target, "__func__"):
            target = target.__func__
            bound = 1
        elif hasattr(target, "__signature__") or not hasattr(target, "__wrapped__"):
            break
        else:
            target = target.__wrapped__
    names = getattr(target, "__globals__", {})
    if hasattr(target, "__code__") and not hasattr(target, "__signature__"):
        return _from_code(target)[bound:], names
    return _from_inspect(function), names


def _from_code(function: Any) -> list[Parameter]:
    code = function.__code__
    defaults = function.__defaults__ or ()
    keyword_defaults = function.__kwdefaults__ or {}
    notes = _annotations(function)
    names = code.co_varnames
    count = code.co_argcount
    found = []
    for index, name in enumerate(names[:count]):
        kind = POSITIONAL_ONLY if index < code.co_posonlyargcount else POSITIONAL
        from_end = index - count
        default = defaults[from_end] if -from_end <= len(defaults) else REQUIRED
        found.append(Parameter(name, kind, default, notes.get(name, UNANNOTATED)))
    end = count + code.co_kwonlyargcount
    keywords = [
        Parameter(name, KEYWORD, keyword_defaults.get(name, REQUIRED), notes.get(name, UNANNOTATED))
        for name in names[count:end]
    ]
    if code.co_flags & VARARGS:
        found.append(Parameter(names[end], STAR, REQUIRED, notes.get(names[end], UNANNOTATED)))
        end += 1
    found += keywords
    if code.co_flags & VARKEYWORDS:
        found.append(
            Parameter(names[end], DOUBLE_STAR, REQUIRED, notes.get(names[end], UNANNOTATED))
        )
    return found


def _annotations(function: Any) -> dict[str, Any]:
    try:
        notes: dict[str, Any] = function.__annotations__
    except NameError:  # Python 3.14 evaluates them here: keep those it cannot as they are written
        from annotationlib import Format, get_annotations  # type: ignore[import-not-found]

        notes = get_annotations(function, format=Format.FORWARDREF)
    return notes


def _from_inspect(function: Callable[..., Any]) -> list[Parameter]:
    import inspect

    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions written in C do not tell
        return [Parameter("arguments", DOUBLE_STAR, REQUIRED, UNANNOTATED)]
    empty = inspect.Parameter.empty
    return [
        Parameter(
            each.name,
            int(each.kind),
            REQUIRED if each.default is empty else each.default,
            UNANNOTATED if each.annotation is empty else each.annotation,
        )
        for each in signature.parameters.values()
    ]
