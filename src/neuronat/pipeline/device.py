"""Which device the networks run on, and proof that it calculates correctly."""

import numba
import numpy as np
import SimpleITK
import torch
from numpy.typing import NDArray

from neuronat.errors import ConfigError, UnavailableError

__all__ = ["TOLERANCE", "choose_device", "device_error", "device_names", "free_device_bytes", "limit_threads"]

TOLERANCE = 1e-4  # float32 sums of 54 products of numbers near 1, with room for TF32-free reordering


def device_names() -> tuple[str, ...]:
    """Names of the devices at hand: `cpu`, and `cuda:0`, `cuda:1`, ... where there are any."""
    n_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return ("cpu", *(f"cuda:{index}" for index in range(n_cuda)))


def choose_device(name: str) -> torch.device:
    """Return the device of this name, having checked a convolution on it.

    Parameters
    ----------
    name : str
        `cpu`, `cuda`, `cuda:<number>`, or `auto`: the first sound accelerator, else the CPU.

    Returns
    -------
    torch.device

    Raises
    ------
    ConfigError
        If the name is none of these.
    UnavailableError
        If the device is not there, or calculates wrongly.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> choose_device("cpu")
    device(type='cpu')
    """
    at_hand = device_names()
    if name == "auto":
        sound = [found for found in at_hand[1:] if device_error(found) <= TOLERANCE]
        return torch.device((*sound, "cpu")[0])
    wanted = "cuda:0" if name == "cuda" else name
    if wanted != "cpu" and not (wanted.startswith("cuda:") and wanted[5:].isdigit()):
        raise ConfigError(f"device {name!r} is not known; give auto, cpu, cuda or cuda:<number>")
    if wanted not in at_hand:
        raise UnavailableError(f"device {name} is not there; at hand are {', '.join(at_hand)}")
    error = device_error(wanted)
    if not error <= TOLERANCE:
        raise UnavailableError(f"device {name} calculates wrongly (a convolution is off by {error:.2g}); use cpu")
    return torch.device(wanted)


def device_error(name: str) -> float:
    """Return the largest error of a small 3D convolution on a device, against plain sums in double precision.

    Parameters
    ----------
    name : str
        Name of a device, as torch knows it.

    Returns
    -------
    float
        Largest absolute difference; about 1e-6 on a sound device, infinite if the device fails.

    Notes
    -----
    Source: ours; a device has been seen to return unrelated numbers without an error.
    """
    rng = np.random.default_rng(1)
    values = rng.standard_normal((2, 9, 10, 11)).astype(np.float32)
    kernels = rng.standard_normal((4, 2, 3, 3, 3)).astype(np.float32)
    try:
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            found = torch.nn.functional.conv3d(
                torch.from_numpy(values).to(name)[None], torch.from_numpy(kernels).to(name)
            )
            result = found[0].cpu().numpy()
    except RuntimeError:
        return float("inf")
    difference = np.abs(result - _plain_convolution(values, kernels)).max()
    return float(difference) if np.isfinite(difference) else float("inf")


def free_device_bytes(device: torch.device) -> int | None:
    """Return how much of an accelerator's own memory this process may still take; None where it shares the machine's.

    Notes
    -----
    Source: ours. What torch keeps for later use counts as free.
    """
    if device.type != "cuda":
        return None
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0] + kept)


def _plain_convolution(values: NDArray[np.float32], kernels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Correlate (N, I, J, K) values with (M, N, 3, 3, 3) kernels, one tap at a time, in double precision."""
    i, j, k = (extent - 2 for extent in values.shape[1:])
    total = np.zeros((len(kernels), i, j, k))
    for a, b, c in np.ndindex(3, 3, 3):
        window = values[:, a : a + i, b : b + j, c : c + k].astype(np.float64)
        total += np.einsum("mn,nijk->mijk", kernels[:, :, a, b, c].astype(np.float64), window)
    return total


def limit_threads(n_threads: int | None) -> None:
    """Let torch, numba and SimpleITK use so many threads; None leaves them as they are.

    Raises
    ------
    ConfigError
        If it is fewer than one.

    Notes
    -----
    Source: ours.
    """
    if n_threads is None:
        return
    if n_threads < 1:
        raise ConfigError(f"number of threads must be at least 1; got {n_threads}")
    n_most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    numba.set_num_threads(min(n_threads, n_most))
    torch.set_num_threads(n_threads)  # last: numba, starting its threads, gives OpenMP, and so torch, all cores
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(n_threads)  # type: ignore[no-untyped-call]
