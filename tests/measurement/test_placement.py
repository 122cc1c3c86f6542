"""A time names the processor it was taken on, and how products were taken there."""

import pytest
import torch

from lowrank_kit.measurement.placement import device_name, precision_of


def test_a_processor_is_named_and_any_other_device_is_not_taken_for_it():
    assert device_name(torch.device("cpu")) not in ("", "cpu")
    assert device_name(torch.device("meta")) == "meta"


@pytest.mark.parametrize(
    ("device", "dtype", "allowed", "precision"),
    [
        ("cuda", torch.float32, (True, True), "tf32"),
        ("cuda", torch.float32, (True, False), "ieee"),
        ("cuda", torch.float32, (False, True), "ieee"),
        ("cuda", torch.float32, (False, False), "ieee"),
        ("cuda", torch.bfloat16, (True, True), "ieee"),
        ("cuda", torch.float64, (True, True), "ieee"),
        ("cpu", torch.float32, (True, True), "ieee"),
    ],
)
def test_products_are_in_tf32_only_where_everything_says_so(monkeypatch, device, dtype, allowed, precision):
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend, may in zip(backends, allowed, strict=True):
            backend.allow_tf32 = may
        assert precision_of(torch.device(device), dtype) == precision
    finally:
        for backend, was in zip(backends, before, strict=True):
            backend.allow_tf32 = was
