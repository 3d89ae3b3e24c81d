"""python -m reference: writes docs/reference anew."""

from __future__ import annotations

from reference.pages import FOLDER, pages


def main() -> None:
    made = pages()
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.md"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
