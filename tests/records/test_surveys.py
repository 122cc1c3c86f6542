"""A survey is read as text, as a table and by layer."""

import pytest

from lowrank_kit.records import LayerReport, Survey

SURVEY = Survey(
    (
        LayerReport("fc1", "Linear 8 x 8", "compressed", "50% of its parameters remain", 1064, 532, "svd 2"),
        LayerReport("<b>", "Embedding", "refused", "only nn.Linear & nn.Conv2d", 9, 9),
    )
)


def test_counts_and_look_up():
    assert SURVEY.counts == {"compressed": 1, "dense": 0, "refused": 1}
    assert SURVEY["fc1"].how == "svd 2"
    with pytest.raises(KeyError):
        SURVEY["fc2"]


def test_text_has_aligned_columns_and_what_changed():
    first, second = str(SURVEY).splitlines()
    assert "1,064 -> 532" in first
    assert "->" not in second
    assert first.index("compressed") == second.index("refused")
    assert "svd 2" in first


def test_html_is_escaped():
    html = SURVEY._repr_html_()
    assert "&lt;b&gt;" in html
    assert "nn.Linear &amp; nn.Conv2d" in html
    assert "<b>" not in html


def test_an_empty_survey_is_readable():
    assert str(Survey(())) == ""
    assert Survey(()).counts == {"compressed": 0, "dense": 0, "refused": 0}
