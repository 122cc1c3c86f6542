"""What a study is, as a value and as a file; and the sentence for everything that is none."""

from dataclasses import FrozenInstanceError
from itertools import pairwise

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.files import shipped
from lowrank_kit.studies.grid import Cell, Study

ONE = "networks: [digits-mlp]\n"
WHOLE = """
name: sweep
networks: [digits-mlp, "some.module:network"]
methods: [svd, aware]
rules: [energy, uniform]
budgets: [0.7, 1]
seeds: [0, 2]
cost: macs
latency_batches: [1, 64]
"""


@pytest.fixture
def written(tmp_path):
    def write(text, name="study.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_a_study_crosses_its_axes():
    study = Study(["digits-mlp", "mnist-cnn"], methods=["svd", "aware"], budgets=[0.7, 0.5], seeds=[0, 1], cost="macs")
    assert len(study) == len(study.cells) == len(set(study.cells)) == 2 * 2 * 2 * 2
    assert study.cells[0] == Cell("digits-mlp", 0, "svd", "energy", 0.7, "macs")


def test_cells_of_one_network_and_seed_stand_together():
    study = Study(["digits-mlp", "mnist-cnn"], methods=["svd", "aware"], budgets=[0.7, 0.5], seeds=[0, 1])
    pairs = [(cell.network, cell.seed) for cell in study.cells]
    changes = sum(before != after for before, after in pairwise(pairs))
    assert changes == len(set(pairs)) - 1 == 3
    assert [*dict.fromkeys(pairs)] == study.pairs


def test_a_study_is_a_value():
    study = Study(["digits-mlp"], budgets=np.array([0.5, 0.25]), seeds=range(3))
    assert study == Study(("digits-mlp",), budgets=(0.5, 0.25), seeds=(0, 1, 2))
    assert len({study, Study(["digits-mlp"], budgets=[0.5, 0.25], seeds=[0, 1, 2])}) == 1
    with pytest.raises(FrozenInstanceError):
        study.cost = "macs"


def test_a_file_holds_what_the_value_holds(written):
    assert Study.from_yaml(written(WHOLE)) == Study(
        networks=["digits-mlp", "some.module:network"],
        methods=["svd", "aware"],
        rules=["energy", "uniform"],
        budgets=[0.7, 1.0],
        seeds=[0, 2],
        cost="macs",
        latency_batches=[1, 64],
        name="sweep",
    )


def test_a_file_gives_its_name_and_only_needs_networks(written):
    assert Study.from_yaml(written("networks: [digits-mlp]", "budget-2.yml")) == Study(["digits-mlp"], name="budget-2")


def test_the_shipped_study_is_one():
    study = Study.from_yaml(shipped("notebooks", "studies", "budgets.yaml"))
    assert len(study) == 3 * 3 * 2 * 4 * 3
    assert study.name == "budgets"


def test_nothing_is_imported_to_say_what_a_study_is():
    assert len(Study(["no.such.module:network"])) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "networks: [digits-mlp]\nbudget: [0.5]",
            "`key` must be one of .*'budgets'.*; got 'budget'. Did you mean 'budgets'",
        ),
        (ONE + "3: [0.5]", "`key` must be one of .*; got 3"),
        ("networks: []", "`networks` must hold at least one value; got none"),
        ("budgets: [0.5]", "`networks` must be there: a list of names, such as .digits-mlp.; got none"),
        ("networks:", "`networks` must be a list; got None"),
        ("networks: digits-mlp", "`networks` must be a list; got 'digits-mlp'. For one value write .digits-mlp."),
        ("networks: [digits-mpl]", "`networks` must be one of .*; got 'digits-mpl'. Did you mean 'digits-mlp'"),
        (
            "networks: [a b:c]",
            '`networks` must be names of the zoo or of the form "package.module:function"; got .a b:c.',
        ),
        ("networks: ['a.b:']", '`networks` must be names .* or of the form "package.module:function"; got .a.b:.'),
        ("networks: ['__main__:make']", "must be in a module that every worker can import; got '__main__:make'"),
        ("networks: [{a: 1}]", "`networks` must be a list of text; it holds {'a': 1}"),
        ("networks: [digits-mlp, digits-mlp]", "`networks` must hold every value once; it holds 'digits-mlp' more"),
        (ONE + "methods: [cp]", "`methods` must be one of 'svd', .*; got 'cp'"),
        (ONE + "rules: [best]", "`rules` must be one of 'energy', 'uniform'; got 'best'"),
        (ONE + "budgets: []", "`budgets` must hold at least one value; got none"),
        (
            "networks: [digits-mlp]\nbudgets: [50]",
            "`budgets` must be a fraction above 0 and at most 1; got 50. Write 0.5",
        ),
        (ONE + "budgets: [0]", "`budgets` must be a fraction above 0 and at most 1; got 0"),
        (ONE + "budgets: [.nan]", "`budgets` must be a fraction above 0 and at most 1; got nan"),
        (ONE + "budgets: [50%]", "`budgets` must be a list of numbers; it holds '50%'"),
        (ONE + "budgets: [true]", "`budgets` must be a list of numbers; it holds True"),
        (ONE + "budgets: [0.5, 0.50]", "`budgets` must hold every value once; it holds 0.5 more"),
        (ONE + "budgets: {a: 1}", "`budgets` must be a list; got {'a': 1}"),
        (ONE + "seeds: [0.5]", "`seeds` must be whole numbers of at least 0; got 0.5"),
        (ONE + "seeds: [-1]", "`seeds` must be whole numbers of at least 0; got -1"),
        (
            "networks: [digits-mlp]\nseeds: [7]",
            "`seeds` must be among 0, 1, 2, the trainings shipped of digits-mlp; got 7",
        ),
        (
            "networks: [digits-mlp]\nlatency_batches: [0]",
            "`latency_batches` must be whole numbers of at least 1; got 0",
        ),
        (ONE + "cost: time", "`cost` must be one of 'params', 'macs'; got 'time'"),
        (ONE + "name: ../up", "`name` must be letters, digits, .* got '../up'"),
        (ONE + "name: 3", "`name` must be letters, digits, .* got 3"),
        (
            "networks: [digits-mlp]\nseeds: [0]\nseeds: [1]",
            "every key must stand there once; 'seeds' stands there 2 times",
        ),
        ("networks: [&a [*a], &b [*b]]", "`networks` must be a list of text; it holds "),
        ("- digits-mlp", "a study must be keys with values, .*; got .'digits-mlp'."),
        ("", "a study must be keys with values, .*; got None"),
        ("networks: [digits-mlp", "a study must be written in YAML; while parsing a flow sequence"),
        ("networks: !!python/object/apply:os.system [echo]", "a study must be written in YAML; could not determine"),
        ("name: 2024-99-99", "a study must be written in YAML; month must be in 1..12"),
        ("[" * 5000, "a study must be written in YAML; "),
        (b"networks: [\xff]", "a study must be written in YAML; "),
    ],
)
def test_what_is_no_study_gets_one_sentence(written, text, sentence):
    path = written(text)
    with pytest.raises(InputError, match=sentence) as fault:
        Study.from_yaml(path)
    said = str(fault.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    assert len(said) < 500


def test_a_file_of_a_few_bytes_cannot_fill_the_screen(written):
    levels = "\n".join(f"x{k + 1}: &x{k + 1} [{', '.join([f'*x{k}'] * 9)}]" for k in range(30))
    path = written(f"x0: &x0 [a]\n{levels}\nnetworks: *x30")
    with pytest.raises(InputError) as fault:
        Study.from_yaml(path)
    assert len(str(fault.value)) < 500


def test_a_file_that_is_not_there_gets_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"a study must be a file that can be read; No such file"):
        Study.from_yaml(tmp_path / "none.yaml")
