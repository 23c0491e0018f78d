"""Networks to and from the bytes of a safetensors file, checked tensor by tensor against the architecture.

Tensors are named `<stage>.<parameter>`; weights are float16 or float32 in the file, always float32 in memory.
"""

import json
import math
from collections.abc import Mapping

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from neuronat.errors import ModelError
from neuronat.nets.card import StageSpec
from neuronat.nets.network import Network, build_network

__all__ = ["networks_from_bytes", "networks_to_bytes"]

STORED_TYPES = {"F16": 2, "F32": 4}  # safetensors' own names, and bytes per value
RUNNING = ("running_mean", "running_var")
UNUSED = "num_batches_tracked"  # batch normalization counts with it only where no momentum is set


def networks_to_bytes(networks: Mapping[str, Network], *, half: bool) -> bytes:
    """Write networks as one safetensors file.

    Parameters
    ----------
    networks : mapping of str to network
        Networks by stage.
    half : bool
        Store weights as float16; running statistics stay float32, their range is wider.

    Returns
    -------
    bytes
        Content of the file.

    Raises
    ------
    ModelError
        If a value is not finite as stored.

    Notes
    -----
    Source: ours (decision 0009).
    """
    tensors = {}
    for stage, network in networks.items():
        for name, value in network.state_dict().items():
            if name.endswith(UNUSED):
                continue
            kind = torch.float16 if half and not name.endswith(RUNNING) else torch.float32
            stored = value.detach().to("cpu", kind).contiguous()
            if not torch.isfinite(stored).all():
                raise ModelError(f"{stage}.{name} holds values that are not finite as {kind}; do not ship this model")
            tensors[f"{stage}.{name}"] = stored
    return safetensors.torch.save(tensors)


def networks_from_bytes(content: bytes, stages: Mapping[str, StageSpec]) -> dict[str, Network]:
    """Rebuild networks from the bytes of a safetensors file.

    Parameters
    ----------
    content : bytes
        The file.
    stages : mapping of str to StageSpec
        What the card says each network is.

    Returns
    -------
    dict of str to network
        In evaluation mode, float32, on the CPU.

    Raises
    ------
    ModelError
        If the file is damaged, or names, shapes, types or values are not what the architecture asks for.

    Notes
    -----
    Source: ours (decision 0009). The networks are made without values first, so no random number is drawn.
    """
    with torch.device("meta"):
        networks = {stage: build_network(spec.network_config) for stage, spec in stages.items()}
    expected = {
        f"{stage}.{name}": tuple(value.shape)
        for stage, network in networks.items()
        for name, value in network.state_dict().items()
        if not name.endswith(UNUSED)
    }
    _require_header(content, expected)
    try:
        tensors = safetensors.torch.load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"weights.safetensors is damaged: {error}") from error
    for stage, network in networks.items():
        network.load_state_dict(_state(stage, network, tensors), assign=True)
        network.eval().requires_grad_(False)
    return networks


def _require_header(content: bytes, expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ModelError unless the file holds exactly the expected tensors, judged before any is made."""
    header = _header(content)
    if missing := sorted(set(expected) - set(header)):
        raise ModelError(f"weights.safetensors lacks {len(missing)} tensors of the architecture, first {missing[0]}")
    if unknown := sorted(set(header) - set(expected)):
        raise ModelError(f"weights.safetensors holds {len(unknown)} tensors too many, first {unknown[0]!r}")
    n_bytes = 0
    for name, shape in expected.items():
        kind, found = header[name].get("dtype"), header[name].get("shape")
        if kind not in STORED_TYPES:
            raise ModelError(f"tensor {name} is of type {kind}; expected F16 or F32")
        if found != list(shape):
            raise ModelError(f"tensor {name} has shape {found}; the architecture asks for {list(shape)}")
        n_bytes += math.prod(shape) * STORED_TYPES[kind]
    held = len(content) - 8 - int.from_bytes(content[:8], "little")
    if held != n_bytes:
        raise ModelError(f"weights.safetensors holds {held} bytes of values; its tensors need {n_bytes}")


def _header(content: bytes) -> dict[str, dict[str, object]]:
    """Return the header of a safetensors file: name to type, shape and place."""
    n_bytes = int.from_bytes(content[:8], "little")
    try:
        if not 2 <= n_bytes <= len(content) - 8:
            raise ValueError(f"the header claims {n_bytes} bytes, the file has {len(content)}")
        header = json.loads(content[8 : 8 + n_bytes])
        tensors = {name: dict(entry) for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"weights.safetensors is damaged: {error}") from error
    return tensors


def _state(stage: str, network: Network, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Collect one network's parameters as finite float32."""
    state = {}
    for name in network.state_dict():
        if name.endswith(UNUSED):
            state[name] = torch.zeros((), dtype=torch.int64)
            continue
        value = tensors[f"{stage}.{name}"].float()
        if not torch.isfinite(value).all():
            raise ModelError(f"tensor {stage}.{name} holds values that are not finite; the model is damaged")
        if name.endswith("running_var") and (value < 0).any():
            raise ModelError(f"tensor {stage}.{name} holds a negative variance; the model is damaged")
        state[name] = value
    return state
