"""What to compute on, and in which numbers."""

import torch

from clara.errors import BadSetting


def choose_device(device, precision="auto"):
    """What to compute on.

    Parameters
    ----------
    device : auto, or a torch device's name
    precision : auto, bf16 or float32

    Returns
    -------
    device : torch.device
    bf16 : bool
    told : str, for the person who waits

    Raises
    ------
    BadSetting
        If there is no such device.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(device)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as e:
        raise BadSetting(f"--device {device}: not to be had here ({str(e).splitlines()[0][:100]})") from e
    bf16 = multiplies_bfloat16(device) if precision == "auto" else precision == "bf16"
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{device.type}, {torch.get_num_threads()} threads"
    )
    return device, bf16, f"on {name}, {'bf16' if bf16 else 'float32'}"


def multiplies_bfloat16(device="cpu"):
    """Whether products in bfloat16 are quicker there than in float32; older versions of torch do not tell of a CPU."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported()
    return kind == "cpu" and any(
        getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
