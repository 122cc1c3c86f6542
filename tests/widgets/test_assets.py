"""What travels to the browser is what was written, less what only people read."""

import re

import pytest

from lowrank_kit.widgets.assets import PARTS, STATIC, module, style


@pytest.mark.parametrize("board", PARTS)
def test_comments_and_indents_stay_here(board):
    for text in (module(board), style(board)):
        assert not re.search(r"^\s*/\*|^[ ]|\n\n", text, re.MULTILINE)


@pytest.mark.parametrize("board", PARTS)
def test_no_text_loses_a_space(board):
    texts = re.compile(r'"[^"\n]*"')
    written = "\n".join((STATIC / f"{part}.js").read_text(encoding="utf-8") for part in PARTS[board])
    bare = re.sub(r"^\s*/\*.*?\*/\n", "", written, flags=re.MULTILINE | re.DOTALL)
    assert texts.findall(module(board)) == texts.findall(bare)


TOKENS = re.compile(r'"[^"\n]*"|/[^/\n`"]+/[a-z]*(?=[.,)])|\$\{|.', re.DOTALL)


def templates(code):
    """The templates in a module, one inside another too; the code in them without its spaces."""
    found, inside = [], []
    for token in TOKENS.findall(code):
        is_text = inside[-1:] == ["`"]
        if (token == "`" and is_text) or (token == "}" and inside[-1:] in (["{"], ["${"])):
            inside.pop()
        elif token == "`" or (token == "${" and is_text) or (token == "{" and inside and not is_text):
            inside.append(token)
        elif not inside:
            continue
        found.append(token if is_text else token.strip())
    assert not inside
    return "".join(found)


@pytest.mark.parametrize("code", ["`a = ${b} , c`", "`${a ? ` => ${b}: ` : {c: `; `}} = `"])
def test_templates_are_found_inside_templates(code):
    assert templates(f"const {{x}} = [{code}];") == code.replace("{a ? `", "{a?`").replace("` : {c: `", "`:{c:`")


@pytest.mark.parametrize("board", PARTS)
def test_no_template_loses_a_space(board):
    written = "\n".join((STATIC / f"{part}.js").read_text(encoding="utf-8") for part in PARTS[board])
    bare = re.sub(r"^\s*/\*.*?\*/\n", "", written, flags=re.MULTILINE | re.DOTALL)
    assert templates(bare)
    assert templates(module(board)) == templates(bare)


def test_a_style_keeps_the_spaces_that_part_words():
    assert "color-mix(in srgb,var(--ink) 13%,var(--paper))" in style("rank_board")
    assert ".lrk :is(button,select,input):focus-visible{" in style("rank_board")
    assert "@container (max-width:800px){" in style("rank_board")
