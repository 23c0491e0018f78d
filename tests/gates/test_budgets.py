"""Small modules and functions. An exception needs a line here, with its reason."""

import ast
import io
import tokenize

MODULE_LINES, CODE_LINES, PARAMETERS = 300, 40, 6
EXCEPTIONS: dict[str, str] = {
    "neuronat.record": "whole files and the markers that vouch for them share one place; 23 lines over",
}
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def test_modules_and_functions_are_within_their_budgets(modules):
    over = set()
    for module in modules:
        if module.text.count("\n") > MODULE_LINES:
            over.add(module.name)
        code = lines_of_code(module.text)
        for name, node, _ in module.functions():
            if len(code & set(range(node.lineno, node.end_lineno + 1)) - docstring_lines(node)) > CODE_LINES:
                over.add(name)
    assert over == set(EXCEPTIONS), "too long, or an exception that is none any more"


def test_functions_take_few_parameters(modules):
    over = [
        f"{name}: {len(parameters(node))}"
        for module in modules
        for name, node, _ in module.functions()
        if len(parameters(node)) > PARAMETERS and not is_command(node)
    ]
    assert over == []


def test_lines_of_code_are_counted_by_hand_here():
    text = 'def f(\n    a,\n):\n    """Doc."""\n    # why\n\n    return """x\n    y"""\n'
    (node,) = ast.parse(text).body
    assert lines_of_code(text) - docstring_lines(node) == {1, 2, 3, 7, 8}


def lines_of_code(text: str) -> set[int]:
    return {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in NO_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }


def docstring_lines(node: ast.FunctionDef) -> set[int]:
    """Lines of the docstrings of a function and of those inside it."""
    return {
        line
        for inner in ast.walk(node)
        if isinstance(inner, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(inner) is not None
        for line in range(inner.body[0].lineno, inner.body[0].end_lineno + 1)
    }


def parameters(node: ast.FunctionDef) -> list[str]:
    a = node.args
    every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *([a.vararg] if a.vararg else []), *([a.kwarg] if a.kwarg else [])]
    return [p.arg for p in every if p.arg not in ("self", "cls")]


def is_command(node: ast.FunctionDef) -> bool:
    return any("command" in ast.unparse(decorator) for decorator in node.decorator_list)
