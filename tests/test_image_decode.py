"""Test that each format, orientation and mode becomes the bytes it shows."""

import numpy as np
import pytest
from PIL import Image

from ntkrun.datasets.images.decode import Broken, Form, decode, limits
from tests.images import RNG, colour, png, save

RGB, GREY = Form(None, "crop", False), Form(None, "crop", True)


@pytest.mark.parametrize(
    ("name", "mode", "shape"),
    [
        ("l.png", "L", ()),
        ("rgb.bmp", "RGB", (3,)),
        ("rgb.webp", "RGB", (3,)),
        ("l.tif", "L", ()),
        ("rgb.ppm", "RGB", (3,)),
        ("l.pgm", "L", ()),
        ("rgb.tiff", "RGB", (3,)),
    ],
)
def test_formats_without_loss_give_their_values(tmp_path, name, mode, shape):
    array = RNG.integers(0, 256, (7, 5, *shape), dtype=np.uint8)
    path = save(tmp_path / name, array, **({"lossless": True} if name.endswith("webp") else {}))
    got = decode(path, GREY if mode == "L" else RGB)
    assert np.array_equal(got, array.reshape(7, 5, -1))


def test_jpeg_and_gif_are_near_their_values(tmp_path):
    smooth = np.add.outer(np.arange(24) * 4, np.arange(16) * 5).astype(np.uint8)
    for name in ("a.jpg", "a.gif"):
        save(tmp_path / name, smooth, **({"quality": 95} if name == "a.jpg" else {}))
        assert np.abs(decode(tmp_path / name, GREY)[..., 0].astype(int) - smooth).max() <= 3


def test_orientation_in_exif_is_applied(tmp_path):
    array = colour(4, 7)
    upright = {3: array[::-1, ::-1], 6: np.rot90(array, -1), 8: np.rot90(array), 2: array[:, ::-1]}
    for turn, expected in upright.items():
        exif = Image.Exif()
        exif[0x0112] = turn
        path = save(tmp_path / f"{turn}.png", array, exif=exif)
        assert np.array_equal(decode(path, RGB), expected)


def test_sixteen_bits_become_eight(tmp_path):
    values = RNG.integers(0, 65536, (4, 6), dtype=np.uint16)
    for name in ("a.png", "a.tif", "a.pgm"):
        assert np.array_equal(decode(save(tmp_path / name, values), GREY)[..., 0], values >> 8), name
    rgb = RNG.integers(0, 65536, (4, 6, 3)).astype(">u2")
    (tmp_path / "rgb.png").write_bytes(
        png((6, 4, 16, 2, 0, 0, 0), b"".join(b"\0" + r.tobytes() for r in rgb))
    )
    assert np.array_equal(decode(tmp_path / "rgb.png", RGB), (rgb >> 8).astype(np.uint8))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_values_of_32_bits_are_refused(tmp_path, dtype):
    with pytest.raises(Broken, match="its values have 32 bits"):
        decode(save(tmp_path / "a.tif", np.ones((3, 3), dtype)), GREY)


def test_palettes_bits_and_transparency(tmp_path):
    palette = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3), "L").convert("P")
    palette.putpalette([v for i in range(6) for v in (40 * i, 7, 255 - i)])
    palette.save(tmp_path / "p.png")
    expected = np.array([[40 * i, 7, 255 - i] for i in range(6)]).reshape(2, 3, 3)
    assert np.array_equal(decode(tmp_path / "p.png", RGB), expected)
    palette.save(tmp_path / "t.png", transparency=2)
    expected[0, 2] = 255
    assert np.array_equal(decode(tmp_path / "t.png", RGB), expected)
    bits = RNG.integers(0, 2, (5, 9)).astype(bool)
    Image.fromarray(bits).save(tmp_path / "1.png")
    assert np.array_equal(decode(tmp_path / "1.png", GREY)[..., 0], 255 * bits)
    rgba = np.concatenate([colour(3, 3), np.full((3, 3, 1), 255, np.uint8)], 2)
    rgba[0, :, 3] = 0  # transparent pixels show white
    opaque = np.where(rgba[..., 3:] == 255, rgba[..., :3], 255)
    assert np.array_equal(decode(save(tmp_path / "rgba.png", rgba), RGB), opaque)
    cmyk = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    cmyk.save(tmp_path / "c.jpg")
    assert np.abs(decode(tmp_path / "c.jpg", RGB).astype(int) - [255, 0, 0]).max() < 8


def test_resize_crops_stretches_or_pads(tmp_path):
    # red, green and blue thirds of a wide image
    wide = np.repeat(np.eye(3, dtype=np.uint8) * 255, 20, 0)[None].repeat(20, 0)
    path = save(tmp_path / "wide.png", wide)
    crop, stretch, pad = (decode(path, Form((10, 10), kind, False)) for kind in ("crop", "stretch", "pad"))
    assert {a.shape for a in (crop, stretch, pad)} == {(10, 10, 3)}
    assert (crop[:, 1:9] == [0, 255, 0]).all()
    assert stretch[5, 0].tolist() == [255, 0, 0]
    assert stretch[5, 9].tolist() == [0, 0, 255]
    assert (pad[:3] == 0).all()
    assert pad[5, 5].tolist() == [0, 255, 0]
    assert decode(path, Form((4, 12), "crop", False)).shape == (4, 12, 3)
    # an image of the wanted size keeps its values
    exact = colour(10, 8)
    path = save(tmp_path / "exact.png", exact)
    for kind in ("crop", "stretch", "pad"):
        assert np.array_equal(decode(path, Form((10, 8), kind, False)), exact)


def test_a_large_jpeg_is_decoded_at_a_fraction(tmp_path):
    smooth = np.add.outer(np.arange(800) / 8, np.arange(800) / 6).astype(np.uint8)
    path = save(tmp_path / "big.jpg", smooth, quality=95)
    small = decode(path, Form((32, 32), "crop", True))[..., 0].astype(int)
    assert np.abs(small - smooth.reshape(32, 25, 32, 25).mean((1, 3))).max() <= 3


def test_any_damage_is_a_reason_in_one_line(tmp_path):
    """Flip and cut bytes of small images of every format: decode gives an array or says Broken."""
    array, path = colour(8, 9), tmp_path / "x"
    reasons = []
    for kind in ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "PPM"):
        Image.fromarray(array).save(path, kind)
        whole = path.read_bytes()
        for _ in range(60):
            data = bytearray(whole[: RNG.integers(1, len(whole) + 1)] if RNG.random() < 0.3 else whole)
            for at in RNG.integers(0, len(data), RNG.integers(0, 4)):
                data[at] = RNG.integers(256)
            path.write_bytes(data)
            try:
                with limits():
                    assert decode(path, Form((5, 5), "crop", False)).shape == (5, 5, 3)
            except Broken as error:
                reasons.append(str(error))
    assert len(reasons) > 100
    assert all(reasons)
    assert not any("\n" in reason for reason in reasons)
