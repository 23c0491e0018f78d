"""Links between the project's pages lead somewhere."""

import re
from pathlib import Path

LINK = re.compile(r"\]\(([^)#]+?)(?:#([\w-]+))?\)")


def test_links_lead_to_files_and_headings_that_exist(root: Path):
    wrong = []
    for page in [*root.glob("*.md"), *(root / "docs").rglob("*.md")]:
        for target, heading in LINK.findall(page.read_text(encoding="utf-8")):
            if target.startswith("http"):
                continue
            path = page.parent / target
            if not path.exists():
                wrong.append(f"{page.relative_to(root)}: {target}")
            elif heading and heading not in headings(path):
                wrong.append(f"{page.relative_to(root)}: {target}#{heading}")
    assert not wrong, "\n".join(wrong)


def headings(page: Path) -> list[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return [re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in titles]
