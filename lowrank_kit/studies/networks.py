"""Networks by name, so that a worker on any machine can make them for itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from torch import nn

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.models.zoo import ZOO, load
from lowrank_kit.records import Data

__all__ = ["blaming", "check_network", "check_seed", "function_of", "open_network"]


def check_network(name: str) -> None:
    """Raise unless `name` is one of the zoo or has the form "package.module:function"; nothing is imported."""
    if ":" not in name:
        check_name(name, ZOO, name="networks")
        return
    module, _, function = name.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), function]):
        raise InputError(f'`networks` must be names of the zoo or of the form "package.module:function"; got {name!r}.')
    if module == "__main__":
        raise InputError(f"a network's function must be in a module that every worker can import; got {name!r}.")


def check_seed(network: str, seed: int) -> None:
    """Raise unless the kit ships the weights of this training seed; any seed will do for one's own functions."""
    if network not in ZOO or _variant(seed) in ZOO[network].variants:
        return
    shipped = [str(s) for s in range(len(ZOO[network].variants)) if _variant(s) in ZOO[network].variants]
    raise InputError(f"`seeds` must be among {', '.join(shipped)}, the trainings shipped of {network}; got {seed}.")


def function_of(network: str) -> Callable[[int], Any] | None:
    """What makes a network of one's own; None for the zoo. Raises InputError where there is no such function."""
    if network in ZOO:
        return None
    module, _, function = network.partition(":")
    with blaming(network, "be importable"):
        found = getattr(import_module(module), function, None)
        if not callable(found):
            raise InputError("the module must have this function; it has none of that name.")
    return found


def open_network(network: str, seed: int) -> tuple[nn.Module, Data]:
    """The network of a seed in eval mode, and its data. Raises InputError where it can't be made."""
    make = function_of(network)
    if make is None:
        return load(network, weights=_variant(seed))
    with blaming(network, f"make a network for seed {seed}"):
        made = make(seed)
        if not isinstance(made, tuple) or len(made) != 2 or not isinstance(made[0], nn.Module):
            got = type(made).__name__
            raise InputError(f"the function must return an nn.Module and its data, a pair; it returned a {got}.")
        model, data = made
        return (model.eval(), data) if isinstance(data, Data) else load(model, data)


@contextmanager
def blaming(network: str, task: str) -> Iterator[None]:
    """What code that isn't the kit's raises is for its owner to mend: a sentence that names the network."""
    try:
        yield
    except InputError as fault:
        raise InputError(f"{network}: {fault}") from None
    except Exception as fault:
        if network in ZOO:
            raise
        first = (str(fault).splitlines() or [""])[0]
        raise InputError(f"{network} must {task}; it raised {type(fault).__name__}: {first}") from fault


def _variant(seed: int) -> str:
    return f"trained-{seed}" if seed else "trained"
