"""Choose the device and the number format to compute with."""

from typing import NamedTuple

import torch

from clara.errors import BadSetting


class ComputeDevice(NamedTuple):
    """A device, whether to multiply in bfloat16 on it, and a description for people."""

    device: torch.device
    bfloat16: bool
    description: str


def choose_device(name: str | torch.device = "auto", precision: str = "auto") -> ComputeDevice:
    """Return the device to compute on.

    Parameters
    ----------
    name : str or torch.device
        A device's name as torch has it, or "auto": a CUDA GPU if there is one, else the CPU.
    precision : {"auto", "bf16", "float32"}
        "auto" is bf16 where it is faster.

    Raises
    ------
    BadSetting
        If there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as e:
        reason = str(e).splitlines()[0][:100]
        raise BadSetting(f"--device {name}: not available on this machine ({reason})") from e
    bfloat16 = has_fast_bfloat16(device) if precision == "auto" else precision == "bf16"
    if device.type == "cuda":
        label = torch.cuda.get_device_name(device)
    else:
        label = f"{device.type}, {torch.get_num_threads()} threads"
    return ComputeDevice(device, bfloat16, f"on {label}, {'bf16' if bfloat16 else 'float32'}")


def has_fast_bfloat16(device: str | torch.device = "cpu") -> bool:
    """Return whether the device multiplies matrices faster in bfloat16 than in float32."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported()
    if kind != "cpu":
        return False
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # missing in older versions of torch
    return any(getattr(torch.cpu, check, bool)() for check in checks)
