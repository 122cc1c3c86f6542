"""The words on pictures, both languages side by side."""

from lowrank_kit.checks import check_name
from lowrank_kit.i18n import LANGUAGES

__all__ = ["words"]

WORDS: dict[str, tuple[str, str]] = {
    "above": ("{count} of {total} above", "{total}本中{count}本が帯の上"),
    "accuracy": ("accuracy", "精度"),
    "accuracy_per_class": ("accuracy on each class", "クラスごとの精度"),
    "after": ("after training", "学習後"),
    "band": ("where pure noise lies (Marchenko–Pastur)", "純粋な雑音の範囲(マルチェンコ・パスツール)"),
    "before": ("before training", "学習前"),
    "break_even": ("break-even {rank}", "損益分岐点 {rank}"),
    "class": ("class", "クラス"),
    "classes_description": ("accuracy of each class, {before} and {after}", "クラスごとの精度({before}と{after})"),
    "eckart_young": ("Eckart–Young: the tail of the spectrum", "エッカート・ヤング:スペクトルの残り"),
    "energy": ("energy kept", "保たれるエネルギー"),
    "energy_description": (
        "energy and accuracy of {layer} at ranks {low} to {high}",
        "{layer}のエネルギーと精度、ランク{low}〜{high}",
    ),
    "index": ("number of the singular value", "特異値の番号"),
    "measured": ("measured", "実測値"),
    "measured_accuracy": ("accuracy, measured", "精度(実測値)"),
    "observed": ("measured accuracy", "実測した精度"),
    "predicted": ("predicted accuracy", "予測した精度"),
    "predictions_description": ("predicted and measured accuracy of {n} plans", "{n}個のプランの予測精度と実測精度"),
    "rank": ("rank", "ランク"),
    "relative_error": ("relative error", "相対誤差"),
    "singular_value": ("singular value", "特異値"),
    "spectra_description": ("singular values before and after training: {layers}", "学習前後の特異値:{layers}"),
    "truncation_description": ("error of {layer} against rank", "{layer}の誤差とランク"),
}


def words(language: str) -> dict[str, str]:
    """{key: text} with {placeholders} for values."""
    check_name(language, LANGUAGES, name="language")
    column = LANGUAGES.index(language)
    return {key: texts[column] for key, texts in WORDS.items()}
