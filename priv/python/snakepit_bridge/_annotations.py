"""Annotations written as text, as all are after ``from __future__ import annotations``."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def resolve(annotation: Any, names: dict[str, Any]) -> Any:
    """What an annotation stands for. One that cannot be evaluated stays a string."""
    text = getattr(annotation, "__forward_arg__", annotation)
    if not isinstance(text, str):
        return annotation
    try:
        return resolve(_evaluate(text, names), names)
    except Exception:  # for example names imported under TYPE_CHECKING
        return text


def _evaluate(text: str, names: dict[str, Any]) -> Any:
    if "|" in text and sys.version_info < (3, 10):
        return _evaluate_unions(text, names)
    return eval(text, names)


def _evaluate_unions(text: str, names: dict[str, Any]) -> Any:
    """Python 3.9 has no ``|`` between types, so ``A | B`` is read as ``Union[A, B]``."""
    import ast
    import typing

    class Unions(ast.NodeTransformer):
        def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
            self.generic_visit(node)
            if not isinstance(node.op, ast.BitOr):
                return node
            pair = ast.Tuple(elts=[node.left, node.right], ctx=ast.Load())
            union = ast.Name(id="__union__", ctx=ast.Load())
            return ast.Subscript(value=union, slice=pair, ctx=ast.Load())

    tree = ast.fix_missing_locations(Unions().visit(ast.parse(text.strip(), mode="eval")))
    return eval(compile(tree, "<annotation>", "eval"), {**names, "__union__": typing.Union})
