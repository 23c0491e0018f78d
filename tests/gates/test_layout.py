"""The rooms of the house, and tests that mirror them."""

from pathlib import Path

ROOMS = {
    "labels", "space", "prepare", "coords", "crf", "measure", "synth", "nets", "infer", "train", "models", "report",
    "cohort", "cli", "pipeline",
}  # fmt: skip
ACROSS = {"tests/cli/test_bad_inputs.py": "the table of bad inputs, met where people meet them"}
NO_ROOMS = {"laws", "story", "golden", "gates"}


def test_the_rooms_are_those_of_the_design(root: Path, tracked):
    rooms = {path.parts[2] for path in tracked if path.parts[:2] == ("src", "neuronat") and len(path.parts) > 3}
    assert rooms <= ROOMS
    for room in rooms - {"models"}:
        assert (root / "src" / "neuronat" / room / "__init__.py").is_file(), room


def test_every_test_file_mirrors_a_module_or_belongs_to_laws_story_or_gates(root: Path, tracked):
    wrong = []
    for path in tracked:
        if path.parts[0] != "tests" or not path.name.startswith("test_") or path.suffix != ".py":
            continue
        room, module = path.parts[1:-1], path.stem.removeprefix("test_")
        if room and room[0] in NO_ROOMS:
            continue
        beside = root.joinpath("src", "neuronat", *room)
        if not (beside / f"{module}.py").is_file() and module != (room[-1] if room else "package"):
            wrong.append(str(path))
    assert sorted(wrong) == sorted(path for path in ACROSS if (root / path).is_file())
