"""Flags and numbers after the second parameter are given by name. An exception needs a line here, with its reason."""

import ast

BY_PLACE = 2
KINDS = {"bool", "int", "float"}
DECORATORS = {
    "click.command": "click gives all parameters by name",
    "inlined": "numba binds no keyword-only parameters where one compiled function calls another",
}
EXCEPTIONS: dict[str, str] = {
    "neuronat.cli.bids._above_zero": "the callback of an option: click gives context, option and value by their places",
    "neuronat.train.validate._report": "a progress callback: whoever calculates gives step and share by their places",
}


def test_flags_and_numbers_after_the_second_parameter_are_given_by_name(modules):
    wrong = {
        f"{name}: {', '.join(found)}"
        for module in modules
        for name, node, _ in module.functions()
        if (found := unnamed(node)) and name not in EXCEPTIONS and not decorators(node)
    }
    assert not wrong, "\n".join(sorted(wrong))


def test_every_exception_is_still_one(modules):
    broken = [(name, node) for module in modules for name, node, _ in module.functions() if unnamed(node)]
    assert EXCEPTIONS.keys() <= {name for name, _ in broken}
    assert DECORATORS.keys() == {decorator for _, node in broken for decorator in decorators(node)}


def test_parameters_are_read_as_written_here():
    text = """
def f(self, a: int, b: int, c: bool, d: int | None, e: "float", /,
      f: Optional[int] = 1, g: None | typing.Union[int, float] = 2): ...
def g(a: int, b: int, c: str, d: tuple[int, ...], e: float | str, *rest: int, f: int, g: bool = True): ...
def h(cls, a: int, b: int, c, d: str | None = None, e: None = None): ...
"""
    found = [unnamed(node) for node in ast.parse(text).body]
    assert found == [["c", "d", "e", "f", "g"], [], []]


def unnamed(node: ast.FunctionDef) -> list[str]:
    """Names of the flags and numbers after the second parameter that a call may give by their places."""
    places = [*node.args.posonlyargs, *node.args.args]
    places = places[1:] if places and places[0].arg in ("self", "cls") else places
    return [p.arg for p in places[BY_PLACE:] if (found := kinds(p.annotation)) & KINDS and found <= KINDS | {"None"}]


def kinds(annotation: ast.expr | None) -> set[str]:
    """Names of the types that an annotation joins: `int | None` and `Optional[int]` are int and None."""
    match annotation:
        case ast.Constant(value=str(text)):
            return kinds(ast.parse(text, mode="eval").body)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return kinds(left) | kinds(right)
        case ast.Subscript(value=ast.Name(id="Optional" | "Union") | ast.Attribute(attr="Optional" | "Union")):
            members = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
            return set().union(*map(kinds, members))
        case None:
            return set()
        case _:
            return {ast.unparse(annotation)}


def decorators(node: ast.FunctionDef) -> set[str]:
    """Which decorators of a function excuse it."""
    return {ast.unparse(getattr(d, "func", d)) for d in node.decorator_list} & DECORATORS.keys()
