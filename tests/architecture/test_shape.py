"""The shape of the source: small modules, short functions, narrow excepts, names that say something."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = sorted((ROOT / "ktrdr").rglob("*.py"))
SOURCE = [
    *PRODUCT,
    *sorted((ROOT / "tests").rglob("*.py")),
    *sorted((ROOT / "benchmarks").rglob("*.py")),
    *sorted((ROOT / "scripts").rglob("*.py")),
]
MODULE_LINES = 400
FUNCTION_LINES = 60
# The outermost edges: there whatever went wrong is written to the operation's row.
BROAD_EXCEPT_ALLOWED = {"ktrdr/agents/attempts.py", "ktrdr/workers/runner.py"}
BANNED_MODULES = {"utils", "util", "helpers", "helper", "base", "common", "manager", "managers", "misc"}
BANNED_IMPORTS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=name_of(path))


def functions(tree: ast.Module) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def is_broad(handler: ast.ExceptHandler) -> bool:
    """True for `except:` and for any `except` that names Exception or BaseException."""
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"} for kind in kinds)


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module


def test_modules_are_short() -> None:
    lines = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCE}
    assert {name: count for name, count in lines.items() if count >= MODULE_LINES} == {}


def test_functions_are_short() -> None:
    found = {
        f"{name_of(path)}:{one.lineno} {one.name}": (one.end_lineno or one.lineno) - one.lineno + 1
        for path in SOURCE
        for one in functions(tree_of(path))
    }
    assert {name: count for name, count in found.items() if count >= FUNCTION_LINES} == {}


def test_a_broad_except_stands_only_at_an_outermost_edge() -> None:
    """Anywhere else it hides a bug as a result."""
    broad = {
        name_of(path)
        for path in SOURCE
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler) and is_broad(node)
    }
    assert broad <= BROAD_EXCEPT_ALLOWED


def test_no_module_is_a_drawer() -> None:
    """A module is named for what is in it, not for having no better place."""
    named = {part for path in PRODUCT for part in path.relative_to(ROOT).with_suffix("").parts}
    assert named & BANNED_MODULES == set()


def test_nothing_is_unpickled() -> None:
    """A pickle in a checkpoint is code that runs when it is read (docs/adr/0005)."""
    found = {
        f"{name_of(path)} imports {name}"
        for path in PRODUCT
        for name in imported(tree_of(path))
        if name.split(".")[0] in BANNED_IMPORTS
    }
    calls = {
        f"{name_of(path)}:{node.lineno} torch.{node.func.attr}"
        for path in PRODUCT
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and (node.func.value.id, node.func.attr) in {("torch", "load"), ("torch", "save")}
    }
    assert found | calls == set()


def test_every_product_module_says_what_it_is() -> None:
    trees = {name_of(path): tree_of(path) for path in PRODUCT}
    assert [name for name, tree in trees.items() if tree.body and not ast.get_docstring(tree)] == []


@pytest.mark.parametrize(
    ("source", "broad"),
    [
        ("try: pass\nexcept: pass", True),
        ("try: pass\nexcept Exception: pass", True),
        ("try: pass\nexcept (OSError, BaseException): pass", True),
        ("try: pass\nexcept OSError: pass", False),
    ],
)
def test_the_check_itself_can_fail(source: str, broad: bool) -> None:
    handlers = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ExceptHandler)]
    assert [is_broad(handler) for handler in handlers] == [broad]
