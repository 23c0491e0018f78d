"""The tests' own rules: each can fail, errors are read, arrays are compared with a report of the difference."""

import ast
from pathlib import Path

import pytest

BARE = {"allclose", "array_equal", "isclose", "array_equiv"}


@pytest.fixture(scope="module")
def trees(root: Path) -> dict[str, ast.Module]:
    return {
        str(path.relative_to(root)): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted((root / "tests").rglob("*.py"))
    }


def calls(node: ast.AST) -> list[ast.Call]:
    return [inner for inner in ast.walk(node) if isinstance(inner, ast.Call)]


def called_name(call: ast.Call) -> str:
    return ast.unparse(call.func)


def test_expected_errors_and_warnings_are_read(trees):
    wrong = [
        f"{path}:{call.lineno}"
        for path, tree in trees.items()
        for call in calls(tree)
        if called_name(call) in ("pytest.raises", "pytest.warns") and "match" not in {k.arg for k in call.keywords}
    ]
    assert not wrong, "\n".join(wrong)


def test_arrays_are_compared_with_a_report_of_the_difference(trees):
    wrong = [
        f"{path}:{call.lineno}"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
        for call in calls(node.test)
        if called_name(call).split(".")[-1] in BARE
    ]
    assert not wrong, "\n".join(wrong)


def test_every_test_asserts_something(trees):
    wrong = [
        f"{path}: {node.name}"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not can_fail(node, tree)
    ]
    assert not wrong, "\n".join(wrong)


def can_fail(node: ast.FunctionDef, tree: ast.Module) -> bool:
    """Tell whether a function asserts, itself or through a helper of its file."""
    helpers = {f.name: f for f in tree.body if isinstance(f, ast.FunctionDef)}
    if any(isinstance(inner, ast.Assert) for inner in ast.walk(node)):
        return True
    names = [called_name(call) for call in calls(node)]
    if any(n in ("pytest.raises", "pytest.warns", "pytest.fail") or "assert_" in n or "require_" in n for n in names):
        return True  # require_... raises: that it does not is the test
    return any(n in helpers and helpers[n] is not node and can_fail(helpers[n], tree) for n in names)
