"""The benchmarks that need another machine or package: their dry runs pass here, and they say why
they skip.
"""

import json
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))

import gpu
import peer


def test_the_gpu_benchmark_runs_dry_in_every_precision_and_says_what_holds(tmp_path, capsys):
    assert gpu.main(["--dry-run", "--out", str(tmp_path), "--parts", "inference"]) == 0
    stored = json.loads((tmp_path / "gpu-inference.json").read_text())
    cells = [name for name in stored if "batch" in name]
    assert {name.split(",")[0] for name in cells} == {"float32", "bfloat16"}
    assert {name.split(", ")[1] for name in cells} == {"launched", "recorded"}
    for name in cells:
        assert {"full", "static 3", "mue near 2"} == stored[name].keys()
        assert stored[name]["full"]["FLOPs"] == 0 and stored[name]["static 3"]["image layers"] == 3
        assert 2 <= stored[name]["mue near 2"]["decoder layers"] < 4
    for name in cells:
        twin = name.replace("launched", "recorded")
        assert stored[name]["full"]["tokens"] == stored[twin]["full"]["tokens"]
    assert set(stored["checks"].values()) == {True}
    assert "static 3" in capsys.readouterr().out


@pytest.mark.skipif(gpu.torch.cuda.is_available(), reason="there is a GPU")
def test_the_gpu_benchmark_skips_with_a_reason_where_there_is_none(tmp_path, capsys):
    assert gpu.main(["--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("skipped: no GPU here")
    assert not list(tmp_path.iterdir())


def test_the_peer_benchmark_skips_with_a_reason_where_the_peer_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(peer.importlib.util, "find_spec", lambda name: None)
    assert peer.main([]) == 0
    assert capsys.readouterr().out == (
        "skipped: modelscope is not installed; see the head of peer.py\n"
    )


def test_a_turn_that_waits_is_known_to_have_shared_its_processor():
    times = peer.turns({"ours": lambda: time.sleep(0.05)}, 2)
    assert times.wall["ours"] >= 0.05 > times.processor["ours"]
    assert times.share < peer.QUIET_SHARE
