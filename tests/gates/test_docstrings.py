"""A public function says what it takes and where it comes from, in the order of STYLE."""

import ast
import re

ORDER = ("Parameters", "Returns", "Yields", "Raises", "Notes", "Examples")


def test_sections_stand_in_order_and_sources_come_first_in_notes(modules):
    wrong = []
    for name, doc in documented(modules):
        found = sections(doc)
        places = [ORDER.index(title) if title in ORDER else -1 for title in found]
        if -1 in places or places != sorted(places):
            wrong.append(f"{name}: sections {list(found)}")
        if "Notes" in found and not found["Notes"].startswith("Source: "):
            wrong.append(f"{name}: Notes must begin with Source:")
    assert not wrong, "\n".join(wrong)


def test_offered_functions_have_a_docstring_with_their_source_or_of_one_line(modules):
    wrong = []
    for module in modules:
        for node in offered_functions(module):
            doc = ast.get_docstring(node)
            if doc is None or ("\n" in doc and "Notes" not in sections(doc)):
                wrong.append(f"{module.name}.{node.name}")
    assert not wrong, "\n".join(wrong)


def test_described_parameters_are_those_of_the_function(modules):
    wrong = []
    for module in modules:
        for name, node, _ in module.functions():
            described = sections(ast.get_docstring(node) or "").get("Parameters")
            if described is not None:
                a = node.args
                real = [p.arg for p in (*a.posonlyargs, *a.args, *a.kwonlyargs) if p.arg not in ("self", "cls")]
                real += [p.arg for p in (a.vararg, a.kwarg) if p]
                if described_names(described) != real:
                    wrong.append(f"{name}: describes {described_names(described)}, takes {real}")
    assert not wrong, "\n".join(wrong)


def test_errors_under_raises_are_named_alike_everywhere(modules):
    (tree,) = (module for module in modules if module.name == "neuronat.errors")
    known = {*tree.exports, "ValueError", "KeyError", "TypeError", "EOFError"}
    wrong = []
    for name, doc in documented(modules):
        for line in sections(doc).get("Raises", "").splitlines():
            if line and not line.startswith(" "):
                wrong += [f"{name}: {kind}" for kind in re.split(r",\s*", line) if kind not in known]
    assert not wrong, "\n".join(wrong)


def documented(modules) -> list[tuple[str, str]]:
    """Name and docstring of every function that has one."""
    pairs = [(name, ast.get_docstring(node)) for module in modules for name, node, _ in module.functions()]
    return [(name, doc) for name, doc in pairs if doc is not None]


def offered_functions(module) -> list[ast.FunctionDef]:
    """Functions in `__all__`; click's own texts are exempt, people read them as help."""
    return [
        node
        for node in module.tree.body
        if isinstance(node, ast.FunctionDef)
        and node.name in (module.exports or ())
        and not any("command" in ast.unparse(d) or "group" in ast.unparse(d) for d in node.decorator_list)
    ]


def sections(doc: str) -> dict[str, str]:
    """Title and text of the underlined sections of a docstring."""
    parts = re.split(r"^([A-Z]\w+)\n-{3,}\n", doc, flags=re.MULTILINE)
    return {title: text.strip("\n") for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def described_names(text: str) -> list[str]:
    """Parameter names in the lines `a, b : type` of a section."""
    heads = [line.split(" : ")[0] for line in text.splitlines() if line and not line.startswith(" ")]
    return [name.strip().lstrip("*") for head in heads for name in head.split(",")]


def test_sections_and_names_are_read_as_written_here():
    doc = "Do it.\n\nParameters\n----------\na, b : int\n    Numbers.\nc : str\n    Word.\n\nNotes\n-----\nSource: x."
    assert described_names(sections(doc)["Parameters"]) == ["a", "b", "c"]
    assert sections(doc)["Notes"] == "Source: x."
