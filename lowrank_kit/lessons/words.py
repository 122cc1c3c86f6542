"""The sentences of the self-checks, both languages side by side."""

from lowrank_kit.checks import check_name
from lowrank_kit.i18n import LANGUAGES

__all__ = ["words"]

WORDS: dict[str, tuple[str, str]] = {
    "count_high": ("{off} too many", "{off}だけ多すぎます"),
    "count_low": ("{off} too few", "{off}だけ少なすぎます"),
    "even_equal": (
        "At rank {answer} two factors hold {factors} numbers, exactly as many as the matrix: nothing is saved yet.",
        "ランク{answer}では2つの因子が{factors}個の数を持ち、元の行列とちょうど同じです。まだ何も減っていません。",
    ),
    "even_full": (
        "Rank {answer} is the full rank: two factors hold {factors} numbers, the matrix only {matrix}. "
        "Factorising makes it bigger until enough is cut.",
        "ランク{answer}はフルランクです。因子2つで{factors}個、元の行列は{matrix}個。"
        "十分に切り落とすまでは、分解するとかえって大きくなります。",
    ),
    "even_half": (
        "Half the rank is a rule of thumb for square matrices only (and there it saves nothing). "
        "This one is {m} x {n}; compare r x ({m} + {n}) with {m} x {n}.",
        "「ランクの半分」は正方行列でだけ通じる目安です(しかも、そこでは何も減りません)。"
        "この行列は{m} x {n}。r x ({m} + {n})と{m} x {n}を比べてください。",
    ),
    "even_high": (
        "At rank {answer} two factors hold {factors} numbers, more than the matrix's {matrix}.",
        "ランク{answer}では因子2つで{factors}個となり、元の行列の{matrix}個を上回ります。",
    ),
    "even_low": (
        "Rank {answer} saves, but so does rank {next}: {more} numbers against {matrix}. The question is where it ends.",
        "ランク{answer}でも減りますが、ランク{next}でもまだ減ります({matrix}個に対して{more}個)。"
        "問いは、どこまで減り続けるかです。",
    ),
    "even_never": (
        "0 it is: even at rank 1 two factors hold {more} numbers, no fewer than the matrix's {matrix}.",
        "正解は0です。ランク1でも因子2つで{more}個となり、元の行列の{matrix}個より減りません。",
    ),
    "even_outside": (
        "A {m} x {n} matrix has ranks from 1 to {full}.",
        "{m} x {n}の行列のランクは1から{full}までです。",
    ),
    "even_right": (
        "{answer} it is: two factors hold {answer} x ({m} + {n}) = {factors} numbers, the matrix {matrix}. "
        "Rank {next} would hold {more}.",
        "正解は{answer}です。因子2つで{answer} x ({m} + {n}) = {factors}個、元の行列は{matrix}個。"
        "ランク{next}なら{more}個になります。",
    ),
    "even_rounded": (
        "{m} x {n} / ({m} + {n}) = {exact}, and rounding up goes over the edge: "
        "rank {answer} holds {factors} numbers, the matrix {matrix}.",
        "{m} x {n} / ({m} + {n}) = {exact}。切り上げると一歩はみ出します。"
        "ランク{answer}は{factors}個、元の行列は{matrix}個です。",
    ),
    "guess_exact": (
        "Your guess: {guess}{unit}. The answer: {truth}. Spot on.",
        "予想 {guess}{unit}、答え {truth}。ぴったりです。",
    ),
    "guess_far": (
        "Your guess: {guess}{unit}. The answer: {truth}. That is {distance}.",
        "予想 {guess}{unit}、答え {truth}。{distance}。",
    ),
    "guess_near": (
        "Your guess: {guess}{unit}. The answer: {truth}. That is close: {distance}.",
        "予想 {guess}{unit}、答え {truth}。惜しい。{distance}。",
    ),
    "points_high": ("{off} points too high", "{off}ポイント高すぎます"),
    "points_low": ("{off} points too low", "{off}ポイント低すぎます"),
    "unit": (" {unit}", ""),
}


def words(language: str) -> dict[str, str]:
    """{key: text} with {placeholders} for values."""
    check_name(language, LANGUAGES, name="language")
    column = LANGUAGES.index(language)
    return {key: texts[column] for key, texts in WORDS.items()}
