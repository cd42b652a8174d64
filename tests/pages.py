#!/usr/bin/env python3
"""The project's Markdown: every relative link leads to a file that is there, and to a heading in it; with
`--binary MILLPOND`, `millpond check` also finds nothing wrong with the whole configurations that are shown."""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
CONFIGURATION = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"^(```|~~~).*?^\1\s*$|`[^`\n]*`", re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The headings of a page, as a browser addresses them."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE), re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).lower()).replace(" ", "-")
        number = 1
        unique = anchor
        while unique in found:
            unique, number = f"{anchor}-{number}", number + 1
        found.add(unique)
    return found


def broken(page: Path) -> list[str]:
    """What is wrong with the links of a page."""
    problems = []
    for link in LINK.findall(CODE.sub("", page.read_text())):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            problems.append(f"{page.relative_to(ROOT)}: {link}: no such file")
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            problems.append(f"{page.relative_to(ROOT)}: {link}: no such heading")
    return problems


def refused(page: Path, binary: str) -> list[str]:
    """What `millpond check` says about the configurations of a page."""
    problems = []
    for text in CONFIGURATION.findall(page.read_text()):
        if not (re.search(r"^outputs:", text, re.MULTILINE) and re.search(r"^inputs:", text, re.MULTILINE)):
            continue
        with tempfile.TemporaryDirectory() as directory:
            config = Path(directory) / "millpond.yaml"
            config.write_text(text)
            # What a page takes from the environment, and the secrets that it names, are there.
            for name in re.findall(r"\{ credential: ([\w-]+) \}", text):
                (Path(directory) / name).write_text('{"access_key": "AKIA", "secret_key": "example"}')
            variables = re.findall(r"(?:\$\{|\{ env: )([A-Za-z_]\w*)", text)
            environment = dict.fromkeys(variables, "example") | os.environ | {"CREDENTIALS_DIRECTORY": directory}
            checked = subprocess.run([binary, "check", "--config", str(config)], capture_output=True, text=True, env=environment)
        # 1 means that it cannot work on this machine, which lacks the files that it names.
        if checked.returncode not in (0, 1):
            problems.append(f"{page.relative_to(ROOT)}: a configuration that is wrong:\n{checked.stdout}{checked.stderr}")
    return problems


def main() -> int:
    """All pages that git knows or would know."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", help="the `millpond` that checks configurations")
    binary = parser.parse_args().binary
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
                            cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    pages = [ROOT / name for name in listed if (ROOT / name).exists()]
    problems = [problem for page in pages for problem in broken(page)]
    if binary:
        problems += [problem for page in pages for problem in refused(page, str(Path(binary).resolve()))]
    for problem in problems:
        print(f"FAIL {problem}")
    print(f"{'FAIL' if problems else 'ok  '} {len(pages)} pages: links{', configurations' if binary else ''}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
