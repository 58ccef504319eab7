"""Store features in fewer bits than they are computed in, and read them as float32.

HDF5 has float16 but not bfloat16: the upper half of a float32. Its bits are stored as uint16, in a dataset
with the attribute dtype = b"bfloat16".
"""

from __future__ import annotations

import h5py
import numpy as np

from ntkrun.errors import ConfigError, must_be

# bytes of a number
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
NAMES = tuple(BYTES)
MARK = np.bytes_("bfloat16")
# smallest normal and largest number; bfloat16 has the range of float32
RANGE = {"float16": (2.0**-14, 65504.0)}
WIDE = (2.0**-126, 2.0**128 - 2.0**120)


def rounded(features: np.ndarray, dtype: str | None) -> tuple[np.ndarray, bool]:
    """Return features (rows, m) in a type of NAMES, and whether they are the bits of bfloat16.

    None leaves them as they are. Rounding is to the nearest: relative errors are at most 2^-11 (float16) or
    2^-9 (bfloat16) for an entry of normal size. Raises ConfigError if the largest entry is not normal.
    """
    if dtype is None:
        return features, False
    largest, (low, high) = float(np.abs(features).max(initial=0)), RANGE.get(dtype, WIDE)
    if largest and not low <= largest <= high and np.isfinite(largest):
        other = "bfloat16" if dtype in RANGE else "null"
        constraint = f"{other} for features of up to {largest:.2g}: {dtype} holds {low:.2g} to {high:.6g}"
        raise ConfigError(
            must_be("features_dtype", "ntkrun", constraint, dtype, f"Set features_dtype={other}.")
        )
    if dtype == "bfloat16":
        import torch  # commands that only read do without

        half = torch.from_numpy(np.ascontiguousarray(features)).to(torch.bfloat16)
        return half.view(torch.int16).numpy().view(np.uint16), True
    return features.astype(dtype), False


def widened(dataset: h5py.Dataset) -> np.ndarray:
    """Return the numbers of a dataset, float32 if they are stored in half of its bits."""
    values = dataset[...]
    if values.dtype == np.uint16 and "dtype" in dataset.attrs:
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32) if values.dtype == np.float16 else values
