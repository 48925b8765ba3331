"""Read the sources as trees, for the rules of the house (tests/test_layers.py): imports, sizes, names.

Every function takes one module's tree and returns findings as text, empty where the rule holds.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_FUNCTION_LINES = 60
MAX_MODULE_LINES = 500
MAX_CLASS_LINES = 300
MAX_PARAMETERS = 7
MAX_NESTING = 4
MAX_ATTRIBUTES = 15

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.TryStar, ast.Match, ast.AsyncFor, ast.AsyncWith)


@dataclass(frozen=True)
class Module:
    """One source module: its dotted name, its file and its tree."""

    name: str
    path: Path
    tree: ast.Module


def load(root: Path, packages: Iterable[str]) -> list[Module]:
    """Parse every module of the packages below root, in the order of their paths."""
    modules = []
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = list(path.relative_to(root).with_suffix("").parts)
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            modules.append(Module(name, path.relative_to(root), ast.parse(path.read_text(), str(path))))
    return modules


def within(name: str, package: str) -> bool:
    """Tell whether a module is the package, or inside it."""
    return name == package or name.startswith(f"{package}.")


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every imported module with its line. `from a import b` yields a and a.b: b may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield base, node.lineno
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def relative_imports(tree: ast.AST) -> list[str]:
    """Find imports that the rules could not see through."""
    return [f"line {line}: relative import {name}" for name, line in imports(tree) if name.startswith(".")]


def imports_in_functions(tree: ast.AST) -> list[str]:
    """Find imports inside functions: a child must have imported everything before it changes its root."""
    return [
        f"line {line}: {name} imported inside {function.name}"
        for function in _functions(tree)
        for name, line in imports(function)
    ]


def clock_reads(tree: ast.AST) -> list[str]:
    """Find datetime.now() and its kin, which no import rule can see."""
    names = {"now", "today", "utcnow"}
    return [
        f"line {node.lineno}: .{node.func.attr}() reads a clock"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names
    ]


def broad_excepts(tree: ast.AST) -> list[str]:
    """Find handlers that would swallow our own mistakes; one that tidies up and raises again swallows nothing."""
    return [
        f"line {node.lineno}: except {ast.unparse(node.type) if node.type else '(everything)'}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and _is_broad(node) and not _raises_again(node)
    ]


def oversized(tree: ast.Module) -> list[str]:
    """Find what is larger than the hard stops: modules (tables aside), classes, functions, parameters, nesting."""
    tables = sum(_lines(node) for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign))
    total = max((node.end_lineno or 0 for node in tree.body), default=0) - tables
    found = [f"{total} lines, tables aside"] if total > MAX_MODULE_LINES else []
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            found += _over(node, "lines", _lines(node), MAX_CLASS_LINES)
        elif isinstance(node, FUNCTIONS):
            found += _over(node, "lines", _lines(node), MAX_FUNCTION_LINES)
            found += _over(node, "parameters", _parameters(node), MAX_PARAMETERS)
            found += _over(node, "levels of nesting", _nesting(node), MAX_NESTING)
            if node.name == "__init__":
                found += _over(node, "attributes", len(_attributes(node)), MAX_ATTRIBUTES)
    return found


def defined_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every name the module gives: functions, classes, parameters, variables, attributes."""
    for node in ast.walk(tree):
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno


def words(name: str) -> set[str]:
    """Return the words of a name, lower case: `PacketBuffer` and `packet_buffer` are the same two."""
    spread = "".join(f"_{letter}" if letter.isupper() else letter for letter in name)
    whole = name.lower().split("_")
    return {word for word in [*spread.lower().split("_"), *whole] if word}


def is_empty(tree: ast.Module) -> bool:
    """Tell whether a module has nothing to test: a docstring, imports, constants at most."""
    return all(
        isinstance(node, ast.Expr | ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign) for node in tree.body
    )


def _functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, FUNCTIONS))


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _is_broad(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or bool(_names(handler.type) & {"Exception", "BaseException"})


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _over(node: Function | ast.ClassDef, what: str, count: int, limit: int) -> list[str]:
    return [f"line {node.lineno}: {node.name} has {count} {what}, more than {limit}"] if count > limit else []


def _parameters(node: Function) -> int:
    names = [parameter.arg for parameter in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def _nesting(node: ast.AST) -> int:
    """Return how deep blocks lie within blocks; an elif is as deep as its if, a nested function starts anew."""
    deepest = 0
    for field, value in ast.iter_fields(node):
        children = value if isinstance(value, list) else [value]
        for child in children:
            if not isinstance(child, ast.AST) or isinstance(child, FUNCTIONS):
                continue
            is_elif = (
                field == "orelse" and isinstance(node, ast.If) and len(children) == 1 and isinstance(child, ast.If)
            )
            deepest = max(deepest, _nesting(child) + (isinstance(child, BLOCKS) and not is_elif))
    return deepest


def _attributes(node: Function) -> set[str]:
    return {
        part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute)
        and isinstance(part.ctx, ast.Store)
        and isinstance(part.value, ast.Name)
        and part.value.id == "self"
    }
