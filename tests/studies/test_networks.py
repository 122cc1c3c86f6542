"""Networks by name: the zoo's and one's own, and whose fault it is when there is none."""

import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.models.inventory import weights_hash
from lowrank_kit.models.zoo import load
from lowrank_kit.studies.networks import check_seed, function_of, open_network
from lowrank_kit.studies.trial import baseline


def test_a_seed_of_the_zoo_is_its_training():
    for seed, variant in ((0, "trained"), (2, "trained-2")):
        model, data = open_network("digits-mlp", seed)
        assert weights_hash(model) == weights_hash(load("digits-mlp", weights=variant)[0])
        assert len(data.test) == 500


def test_ones_own_function_gets_the_seed():
    hashes = {weights_hash(open_network("tiny_networks:mlp", seed)[0]) for seed in (0, 1, 1)}
    assert len(hashes) == 2


def test_data_may_be_anything_that_load_takes():
    model, data = open_network("tiny_networks:from_loader", 3)
    assert not model.training
    assert (len(data.validation), len(data.test)) == (30, 60)


def test_any_seed_will_do_for_ones_own():
    check_seed("tiny_networks:mlp", 10**6)
    with pytest.raises(InputError, match="`seeds` must be among 0, 1, 2, the trainings shipped of mnist-cnn; got 3"):
        check_seed("mnist-cnn", 3)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tiny_networks:none", "tiny_networks:none: the module must have this function; it has none"),
        ("tiny_networks:not_a_function", "tiny_networks:not_a_function: the module must have this function"),
        ("no_such_module:make", "no_such_module:make must be importable; it raised ModuleNotFoundError: No module"),
        ("tiny_networks:failing", "tiny_networks:failing must make a network for seed 0; it raised RuntimeError: no w"),
        ("tiny_networks:alone", "tiny_networks:alone: the function must return an nn.Module and its data, a pair"),
        ("tiny_networks:wrong_inputs", "tiny_networks:wrong_inputs must classify its data; it raised RuntimeError"),
        ("tiny_networks:wrong_labels", "tiny_networks:wrong_labels: labels must lie between 0 and 1"),
    ],
)
def test_a_network_that_cannot_be_used_is_named_in_one_sentence(name, sentence):
    with pytest.raises(InputError, match=sentence) as fault:
        function_of(name)
        baseline(name, 0, "run")
    assert "\n" not in str(fault.value)
    assert str(fault.value).count(name) == 1


def test_a_fault_of_the_kits_own_networks_is_a_bug(monkeypatch):
    monkeypatch.setattr("lowrank_kit.studies.trial.measure", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        baseline("digits-mlp", 0, "run")
