"""What can be said about the training without training; skipped where the `train` group is not installed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from engine.demo.batches import encode  # noqa: E402 - only where the group is installed
from engine.demo.corpus.dialogues import Dialogue  # noqa: E402
from engine.demo.muon import orthogonalized  # noqa: E402
from engine.demo.network import Network, Shape  # noqa: E402
from engine.demo.picture import loss_curve  # noqa: E402
from engine.demo.tokens import SPECIAL, train_tokenizer  # noqa: E402

TINY = Shape(vocabulary=300, layers=1, context=64)


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return train_tokenizer(["hello there", "how are you", "fine"])


def test_only_what_the_guide_says_is_learned(tokenizer: object) -> None:
    dialogue = Dialogue((("hello", "there"), ("how are you", "fine")), (None, None), system="you")
    ids, said = encode(dialogue, tokenizer, 999)  # type: ignore[arg-type]
    learned = tokenizer.decode([number for number, by_guide in zip(ids, said, strict=True) if by_guide], skip_special_tokens=False)  # type: ignore[attr-defined]
    assert learned == "there<|im_end|>fine<|im_end|>"


def test_thinking_is_learned_with_the_last_answer(tokenizer: object) -> None:
    dialogue = Dialogue((("hello", "there"), ("how are you", "fine")), ("hello", "hello"))
    ids, said = encode(dialogue, tokenizer, 999)  # type: ignore[arg-type]
    learned = tokenizer.decode([number for number, by_guide in zip(ids, said, strict=True) if by_guide], skip_special_tokens=False)  # type: ignore[attr-defined]
    assert learned == "there<|im_end|>hello\n</think>\n\nfine<|im_end|>"


def test_control_tokens_come_first(tokenizer: object) -> None:
    assert [tokenizer.token_to_id(name) for name in SPECIAL] == list(range(len(SPECIAL)))  # type: ignore[attr-defined]


def test_later_tokens_do_not_change_earlier_scores() -> None:
    torch.manual_seed(1)
    network = Network(TINY)
    tokens = torch.randint(0, TINY.vocabulary, (1, 20))
    changed = tokens.clone()
    changed[0, 15:] = 7
    with torch.no_grad():
        torch.testing.assert_close(network.hidden(tokens)[0, :15], network.hidden(changed)[0, :15])


def test_rows_of_the_shipped_shape_fit_k_quants() -> None:
    network = Network(Shape(layers=1))
    rows = {weight.shape[-1] for name, weight in network.named_parameters() if weight.ndim == 2}
    assert all(row % 256 == 0 for row in rows)


def test_orthogonalized_matrices_have_singular_values_near_one() -> None:
    torch.manual_seed(1)
    values = torch.linalg.svdvals(orthogonalized(torch.randn(2, 64, 128)))
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.4


def test_the_loss_curve_is_drawn_from_what_was_logged(tmp_path: Path) -> None:
    log, picture = tmp_path / "loss.jsonl", tmp_path / "loss.svg"
    log.write_text("".join(json.dumps({"tokens": 100 * step, "loss": 8 / step}) + "\n" for step in range(1, 101)))
    loss_curve(log, picture)
    assert picture.read_text().startswith("<svg")
    assert "polyline" in picture.read_text()
