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


def test_a_style_keeps_the_spaces_that_part_words():
    assert "color-mix(in srgb,var(--ink) 13%,var(--paper))" in style("rank_board")
    assert ".lrk :is(button,select,input):focus-visible{" in style("rank_board")
    assert "@container (max-width:800px){" in style("rank_board")
