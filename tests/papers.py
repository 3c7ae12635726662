"""What the documents say: their commands, links, flags, variables and headings. Reads text and runs nothing."""
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "certs/README.md",
                    *(ROOT / "server").glob("*.md")])
# Flags of other programs that the documents name.
FOREIGN_FLAGS = {"--release", "--build", "--since", "--reference", "--renew", "--locked", "--format-version", "--sbom-format",
                 "--bench", "--example", "--profile", "--prefix", "--workspace", "--all", "--rm", "--volumes-from"}
# A command of ours, as it stands between backticks.
OURS = re.compile(r"(?:sudo )?(?:\./)?enza(?:-before)? \S.*")


@dataclass(frozen=True)
class Told:
    """A command that a document tells its reader to type."""

    where: str
    text: str


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.S | re.M)


def inline(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", without_blocks(text))


def commands(name: str, text: str) -> list[Told]:
    """Every line of a shell block in order, then every command of ours in the running text."""
    lines = [line.split(" #")[0].strip() for block in blocks(text, "sh") for line in block.splitlines()]
    said = [line for line in lines if line] + [piece for piece in inline(text) if OURS.fullmatch(piece)]
    return [Told(name, line) for line in said]


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    kept = [c for c in plain if c in " -_" or unicodedata.category(c)[0] in "LNM"]
    return "".join(kept).replace(" ", "-")


def headings(text: str) -> list[tuple[int, str]]:
    return [(len(marks), title) for marks, title in re.findall(r"^(#+) (.+)$", without_blocks(text), flags=re.M)]


def broken_links(path: Path, text: str) -> list[str]:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(text)):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, part = target.partition("#")
        at = (path.parent / place).resolve() if place else path
        if not at.exists():
            broken.append(target)
        elif part and part not in [anchor(title) for _, title in headings(text if at == path else at.read_text())]:
            broken.append(target)
    return broken


def flags(text: str) -> set[str]:
    """Every flag in a command or between backticks."""
    pieces = [line for block in blocks(text, "sh") for line in block.splitlines()] + inline(text)
    return {flag for piece in pieces for flag in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", piece)}


def variables(text: str) -> set[str]:
    return set(re.findall(r"\bENZA_[A-Z_]*[A-Z]\b", text))


def known_variables() -> set[str]:
    """Those that a program of this repository reads."""
    known = set()
    for source in (ROOT / "server").rglob("*.rs"):
        known |= set(re.findall(r'"(ENZA_[A-Z_]+)"', source.read_text()))
    return known | set(re.findall(r"\$\{(ENZA_[A-Z_]+)", (ROOT / "tests/run").read_text()))


def shape(text: str) -> dict[str, object]:
    """What a document and its translation have in common."""
    return {"headings": [level for level, _ in headings(text)],
            "commands": [told.text for told in commands("", text)],
            "blocks": [re.findall(r"^```(\w*)$", text, flags=re.M), blocks(text, "nginx"), blocks(text, "caddy")],
            "rows of tables": len(re.findall(r"^\|", text, flags=re.M)),
            "flags and variables": sorted(flags(text) | variables(text)),
            "figures": re.findall(r"(?<=\| )\d[\d.]*(?: (?:%|MB|Mbit/s))?(?= \|)", text)}
