"""Test the page of accuracy against minutes on run folders written here."""

from scripts import frontier
from tests.test_report import put

CIFAR = {
    "dataset": "cifar10",
    "n_train": 50_000,
    "n_test": 10_000,
    "valid/accuracy": 0.7,
    "relative_lambda": 1e-7,
}


def test_rungs_are_sorted_by_minutes_and_seeds_share_one(tmp_path, capsys):
    put(tmp_path, 1, method="union", dim=64, seconds=40.0, score=0.8, **CIFAR)
    for seed in range(2):
        method = {"name": "cntk_sketch", "depth": 3, "random_state": seed}
        config = {"method": method, "depth": 3}
        put(
            tmp_path,
            2 + seed,
            method="cntk_sketch",
            dim=32,
            seed=seed,
            score=0.7 + seed / 50,
            config=config,
            **CIFAR,
        )
    put(tmp_path, 9, method="rff", score=0.1)
    assert frontier.main([str(tmp_path), str(tmp_path / "page")]) == 0
    text = (tmp_path / "page" / "frontier.md").read_text()
    first, second = (line for line in text.splitlines() if "70.00 %" in line)
    assert first.startswith("| cntk_sketch, depth 3 | 32 | 71.00 % ± 1.41 | 2 | 70.00 % | 0.1 |")
    assert second.startswith("| union | 64 | 80.00 % | 1 | 70.00 % | 2.0 | 0.1 | 1.0e-07 | - |")
    assert "rff" not in text
    assert (tmp_path / "page" / "frontier.png").stat().st_size > 10_000
    assert "exact Myrtle-10" in capsys.readouterr().out


def test_a_folder_without_such_runs_is_named(tmp_path, capsys):
    put(tmp_path, 1, method="rff")
    assert frontier.main([str(tmp_path)]) == 3
    assert "holds no run on all of CIFAR-10" in capsys.readouterr().err
    assert frontier.main([str(tmp_path / "empty")]) == 3
    assert "holds no finished run" in capsys.readouterr().err
    assert frontier.main([]) == 2
