"""Carrying an optimiser's memory of a parameter over to other coordinates."""

from collections.abc import Sequence

import torch

from lowrank_kit.checks import InputError
from lowrank_kit.models.bases import multi_mode_product

__all__ = ["transport"]

# What Adam, RMSprop, Adadelta and Adagrad remember of squares, which changes like squares and is never negative.
SQUARES = ("exp_avg_sq", "max_exp_avg_sq", "square_avg", "acc_delta", "sum")


def transport(
    optimiser: torch.optim.Optimizer, parameter: torch.Tensor, shape: Sequence[int], maps: Sequence[torch.Tensor]
) -> None:
    """Carry everything remembered about a parameter of the old `shape` over to C x_1 M_1 x_2 M_2 ... = C new.

    m becomes m x_i M_i. An average of squares v becomes v x_i M_i^2, as variances of independent entries do: public
    code takes (sqrt(v) x_i M_i)^2, whose terms cancel wherever M has both signs, which leaves v near zero beside an m
    that is not, and the next step a dozen times too long. Raises InputError for a memory of another shape.
    """
    state = optimiser.state.get(parameter, {})
    for name, values in state.items():
        if not isinstance(values, torch.Tensor) or values.ndim == 0:
            continue
        if values.shape != torch.Size(shape):
            raise InputError(
                "`optimiser` must remember numbers entry by entry where ranks change; "
                f"{type(optimiser).__name__} keeps {name} in another shape. Take SGD, Adam or AdamW."
            )
        carried = [part.square() for part in maps] if name in SQUARES else maps
        state[name] = multi_mode_product(values, carried).contiguous()
