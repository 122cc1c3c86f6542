"""The form every notebook keeps: short cells without definitions, stored executed, the same code in both languages."""

import ast
import json
import re

import nbformat
import pytest

from lowrank_kit.files import shipped

NOTEBOOKS = shipped("notebooks")
ENGLISH = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
JAPANESE = sorted(NOTEBOOKS.glob("ja/[0-9]*.ipynb"))
EVERY = [pytest.param(path, id=str(path.relative_to(NOTEBOOKS))) for path in ENGLISH + JAPANESE]
HEADINGS = {
    "en": ("**Question.**", "**As an engineer.**", "**As an executive.**", "## References"),
    "ja": ("**問い。**", "**エンジニアの方へ。**", "**経営層の方へ。**", "## 参考文献"),
}
LONGEST_CELL = 8
LARGEST_OUTPUT = 300_000
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def without_pictures(output):
    data = {mime: text for mime, text in output.get("data", {}).items() if not mime.startswith("image/")}
    text = json.dumps({**output, "data": data})
    return re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)


def test_there_are_notebooks():
    assert ENGLISH


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in JAPANESE])
def test_japanese_editions_have_the_same_code(path):
    english = NOTEBOOKS / path.name
    assert [c.source for c in code_cells(path)] == [c.source for c in code_cells(english)]
    assert [c.cell_type for c in read(path).cells] == [c.cell_type for c in read(english).cells]
    assert any(re.search("[ぁ-ん]", c.source) for c in read(path).cells if c.cell_type == "markdown")


@pytest.mark.parametrize("path", EVERY)
class TestForm:
    def test_is_valid(self, path):
        nbformat.validate(read(path))

    def test_cells_hold_no_definitions(self, path):
        for cell in code_cells(path):
            found = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, DEFINITIONS)]
            assert not found, cell.source

    def test_cells_are_short(self, path):
        for cell in code_cells(path):
            lines = cell.source.splitlines()
            assert 1 <= len(lines) <= LONGEST_CELL, cell.source
            assert max(map(len, lines)) <= 120, cell.source

    def test_is_stored_executed_from_top_to_bottom(self, path):
        cells = code_cells(path)
        assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))

    def test_holds_no_errors_and_no_warnings(self, path):
        for cell in code_cells(path):
            for output in cell.outputs:
                assert output.output_type != "error", cell.source
                assert output.get("name") != "stderr", output.get("text")

    def test_holds_no_widget_state_and_no_clock_times(self, path):
        notebook = read(path)
        assert "widgets" not in notebook.metadata
        assert not any("execution" in cell.metadata for cell in notebook.cells)

    def test_names_the_plain_kernel(self, path):
        assert read(path).metadata.kernelspec.name == "python3"

    def test_outputs_are_small(self, path):
        outputs = [without_pictures(output) for cell in code_cells(path) for output in cell.outputs]
        assert sum(map(len, outputs)) < LARGEST_OUTPUT

    def test_pictures_are_png(self, path):
        mimes = {mime for cell in code_cells(path) for output in cell.outputs for mime in output.get("data", {})}
        assert not {m for m in mimes if m.startswith("image/")} - {"image/png"}

    def test_says_what_to_take_away(self, path):
        text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
        for word in HEADINGS["ja" if path.parent.name == "ja" else "en"]:
            assert word in text

    def test_links_lead_somewhere(self, path):
        text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (path.parent / target).exists(), target
