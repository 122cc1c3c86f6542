"""A time names the processor it was taken on."""

import torch

from lowrank_kit.measurement.placement import device_name


def test_a_processor_is_named_and_any_other_device_is_not_taken_for_it():
    assert device_name(torch.device("cpu")) not in ("", "cpu")
    assert device_name(torch.device("meta")) == "meta"
