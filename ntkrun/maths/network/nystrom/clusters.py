"""Spherical k-means: landmarks as means of similar directions (Dhillon and Modha 2001)."""

from __future__ import annotations

import torch
from torch import Tensor

from ntkrun.maths.network.positions import reciprocal

STEPS = 10
# rows compared at a time
BLOCK = 4096


def clusters(rows: Tensor, widths: list[int], count: int, generator: torch.Generator) -> list[Tensor]:
    """Return at most `count` centres of unit norm as halves (r, width), for rows (s, sum of widths).

    With an odd half, a centre stands for itself and its mirror image, and rows are mirrored to fit. Rows of
    norm zero are left out, unless there is nothing else. `rows` is overwritten.
    """
    norm = rows.norm(dim=1)
    rows.mul_(reciprocal(norm)[:, None])
    if not norm.all():
        rows = rows[norm > 0] if norm.any() else rows[:1]
    order = torch.randperm(len(rows), generator=generator)[:count].to(rows.device)
    centres = rows[order]
    for _ in range(STEPS if len(centres) < len(rows) else 0):
        total = torch.zeros_like(centres)
        for block in rows.split(BLOCK):
            total.index_add_(0, *_nearest(block, centres, widths))
        size = total.norm(dim=1, keepdim=True)
        centres = torch.where(size > 0, total * reciprocal(size), centres)
    return list(centres.split(widths, 1))


def _nearest(rows: Tensor, centres: Tensor, widths: list[int]) -> tuple[Tensor, Tensor]:
    """Return the nearest centre of each row, and the row or its mirror image, whichever is nearer."""
    if len(widths) == 1:
        return (rows @ centres.T).argmax(1), rows
    (even, odd), (even_centres, odd_centres) = rows.split(widths, 1), centres.split(widths, 1)
    e, o = even @ even_centres.T, odd @ odd_centres.T
    label = (e + o.abs()).argmax(1)
    sign = torch.where(o.gather(1, label[:, None]) < 0, -1.0, 1.0).to(rows.dtype)
    return label, torch.cat([even, sign * odd], 1)
