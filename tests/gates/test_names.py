"""`__all__` says what a module offers, and others take nothing else."""

import ast
import importlib
import inspect

import neuronat
from neuronat import errors


def test_every_module_says_what_it_offers(modules):
    missing = [module.name for module in modules if module.exports is None]
    assert missing == []


def test_every_offered_name_is_there(modules):
    wrong = [
        f"{module.name}.{name}"
        for module in modules
        if not module.name.endswith("__main__")
        for name in module.exports or ()
        if not hasattr(importlib.import_module(module.name), name)
    ]
    assert not wrong, "\n".join(wrong)


def test_modules_take_from_each_other_only_what_is_offered(modules):
    offered = {module.name: set(module.exports or ()) for module in modules}
    wrong = []
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ImportFrom) and node.module in offered:
                names = {alias.name for alias in node.names}
                rooms = {name for name in names if f"{node.module}.{name}" in offered}
                wrong += [f"{module.name}: {node.module}.{n}" for n in sorted(names - rooms - offered[node.module])]
    wrong = [line for line in wrong if not line.endswith(".__version__")]
    assert not wrong, "\n".join(wrong)


def test_the_package_offers_what_the_design_names():
    design = {"segment", "load", "save", "evaluate", "Volume", "LabelMap", "Probabilities", "LabelScheme", "Model"}
    assert design | set(errors.__all__) | {"Result", "__version__"} <= set(neuronat.__all__)
    for name in neuronat.__all__:
        assert getattr(neuronat, name) is not None, name


def test_every_error_is_offered_stands_in_the_tree_and_has_a_known_exit_code():
    found = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}
    assert sorted(found) == sorted(errors.__all__)
    for name, kind in found.items():
        assert issubclass(kind, errors.NeuronatError), name
        assert kind.exit_code in {2, 65, 66, 69, 70, 71, 73, 75}, name
