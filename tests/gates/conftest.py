"""What the gates look at: the files of the project and the parsed modules of the package."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = {"__pycache__", "build", "dist", "node_modules"}  # where there is no git to ask


@dataclass(frozen=True)
class Module:
    """One module of the package: dotted name, file relative to the project, text and tree."""

    name: str
    path: Path
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def exports(self) -> list[str] | None:
        for node in self.tree.body:
            target = (
                node.targets[0]
                if isinstance(node, ast.Assign)
                else node.target
                if isinstance(node, ast.AnnAssign)
                else None
            )
            if isinstance(target, ast.Name) and target.id == "__all__" and node.value is not None:
                return ast.literal_eval(node.value)
        return None

    def functions(self) -> Iterator[tuple[str, ast.FunctionDef, bool]]:
        """Yield name, node, and whether it is a method, of all functions, nested ones too."""

        def walk(node: ast.AST, prefix: str, in_class: bool) -> Iterator[tuple[str, ast.FunctionDef, bool]]:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.FunctionDef | ast.ClassDef):
                    name = f"{prefix}.{child.name}"
                    if isinstance(child, ast.FunctionDef):
                        yield name, child, in_class
                    yield from walk(child, name, isinstance(child, ast.ClassDef))
                else:
                    yield from walk(child, prefix, in_class)

        return walk(self.tree, self.name, False)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def tracked() -> tuple[Path, ...]:
    """The project's files, relative to its folder: what git tracks, or what lies there if git is not asked."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True)
        paths = [Path(name) for name in listed.stdout.split("\0") if name]
    else:
        paths = [path.relative_to(ROOT) for path in ROOT.rglob("*")]
        hidden = (".venv", ".cache", ".mypy", ".ruff", ".pytest", ".hypothesis", ".import_linter")
        paths = [path for path in paths if not NOT_OURS & set(path.parts) and not str(path.parts[0]).startswith(hidden)]
        paths = [path for path in paths if path.parts[0] != "demo-out" and path.suffix != ".pyc"]
    return tuple(sorted(path for path in paths if (ROOT / path).is_file()))


@pytest.fixture(scope="session")
def modules() -> tuple[Module, ...]:
    """The modules of the package, read from its source."""
    found = []
    for path in sorted((ROOT / "src" / "neuronat").rglob("*.py")):
        parts = path.relative_to(ROOT / "src").with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(Module(name, path.relative_to(ROOT), path.read_text(encoding="utf-8")))
    return tuple(found)
