"""What can be said about the training without training; skipped where the `train` group is not installed."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gguf import GGUFReader

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from engine.guide.training.batches import Encoded, batches, encode  # noqa: E402 - only where the group is installed
from engine.guide.training.corpus.dialogues import Dialogue, Writer  # noqa: E402
from engine.guide.training.corpus.facts import load_facts  # noqa: E402
from engine.guide.training.export import export, load_network  # noqa: E402
from engine.guide.training.muon import orthogonalized  # noqa: E402
from engine.guide.training.network import Network  # noqa: E402
from engine.guide.training.peers import Peers  # noqa: E402
from engine.guide.training.picture import loss_curve  # noqa: E402
from engine.guide.training.shape import Shape  # noqa: E402
from engine.guide.training.tokens import SPECIAL, load_tokenizer, train_tokenizer  # noqa: E402
from engine.guide.training.train import BATCH_TOKENS, Budget, train  # noqa: E402

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TINY = Shape(vocabulary=300, layers=1, context=64)


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return train_tokenizer(["hello there", "how are you", "fine"])


def learned(encoded: Encoded, tokenizer: Tokenizer) -> str:
    said = [number for number, by_guide in zip(encoded.ids, encoded.said, strict=True) if by_guide]
    return tokenizer.decode(said, skip_special_tokens=False)  # type: ignore[no-any-return]


def test_only_what_the_guide_says_is_learned(tokenizer: Tokenizer) -> None:
    dialogue = Dialogue((("hello", "there"), ("how are you", "fine")), (None, None), system="you")
    encoded = encode(dialogue, tokenizer, 999)
    assert learned(encoded, tokenizer) == "there<|im_end|>fine<|im_end|>"


def test_thinking_is_learned_with_the_last_answer(tokenizer: Tokenizer) -> None:
    dialogue = Dialogue((("hello", "there"), ("how are you", "fine")), ("hello", "hello"))
    encoded = encode(dialogue, tokenizer, 999)
    assert learned(encoded, tokenizer) == "there<|im_end|>hello\n</think>\n\nfine<|im_end|>"


def test_subjects_are_named_where_the_questions_end(tokenizer: Tokenizer) -> None:
    dialogue = Dialogue((("hello", "there"), ("how are you", "fine")), (None, None), subjects=("greeting", "feelings"))
    encoded = encode(dialogue, tokenizer, 999)
    ends = [tokenizer.decode(encoded.ids[: at + 1], skip_special_tokens=False) for at, _ in encoded.asked]
    assert [end.endswith("<|im_start|>assistant\n") for end in ends] == [True, True]
    assert ["there" in end for end in ends] == [False, True]
    assert [subject for _, subject in encoded.asked] == ["greeting", "feelings"]


def test_a_batch_points_at_the_ends_of_its_questions(tokenizer: Tokenizer) -> None:
    writer = Writer(load_facts())
    newline = tokenizer.encode("\n").ids[0]
    for batch in islice(batches(writer, tokenizer, seed=1, pool=0, batch_tokens=2048, longest=4096), 30):
        assert len(batch.asked) >= len(batch.tokens)
        assert set(batch.tokens.flatten()[batch.asked].tolist()) == {newline}
        assert int(batch.subjects.max()) < len(writer.subjects)


def test_control_tokens_come_first(tokenizer: Tokenizer) -> None:
    assert [tokenizer.token_to_id(name) for name in SPECIAL] == list(range(len(SPECIAL)))


def test_later_tokens_do_not_change_earlier_scores() -> None:
    torch.manual_seed(1)
    network = Network(TINY)
    tokens = torch.randint(0, TINY.vocabulary, (1, 20))
    changed = tokens.clone()
    changed[0, 15:] = 7
    with torch.no_grad():
        torch.testing.assert_close(network.hidden(tokens)[0, :15], network.hidden(changed)[0, :15])


def test_the_guide_tells_its_true_size() -> None:
    network = Network(Shape())
    assert Shape().parameters == sum(weight.numel() for weight in network.parameters())
    assert Shape().slots()["million"] == str(round(Shape().parameters / 1e6))


def test_rows_of_the_shipped_shape_fit_k_quants() -> None:
    network = Network(Shape(layers=1))
    rows = {weight.shape[-1] for name, weight in network.named_parameters() if weight.ndim == 2}
    assert all(row % 256 == 0 for row in rows)


def test_orthogonalized_matrices_have_singular_values_near_one() -> None:
    torch.manual_seed(1)
    values = torch.linalg.svdvals(orthogonalized(torch.randn(2, 64, 128)).float())
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.4


def test_the_loss_curve_is_drawn_from_what_was_logged(tmp_path: Path) -> None:
    log, picture = tmp_path / "loss.jsonl", tmp_path / "loss.svg"
    log.write_text("".join(json.dumps({"tokens": 100 * step, "loss": 8 / step}) + "\n" for step in range(1, 101)))
    loss_curve(log, picture)
    assert picture.read_text().startswith("<svg")
    assert "polyline" in picture.read_text()


def test_peers_share_out_the_work_and_lose_none_of_it(tokenizer: Tokenizer) -> None:
    stack = torch.arange(24).view(8, 3)
    shares = [Peers(rank, 2).share(stack) for rank in range(2)]
    assert torch.equal(torch.stack(shares, 1).flatten(0, 1), stack)
    writer = Writer(load_facts())

    def taken(peers: Peers) -> list[list[int]]:
        pool = batches(writer, tokenizer, seed=1, pool=0, batch_tokens=2048, longest=4096, peers=peers)
        return [batch.tokens.flatten().tolist() for batch in islice(pool, 6)]

    both = [batch for pair in zip(taken(Peers(0, 2)), taken(Peers(1, 2)), strict=True) for batch in pair]
    assert both[:6] == taken(Peers())


def test_processes_train_one_network_together_and_go_on_where_they_were(tmp_path: Path) -> None:
    writer = Writer(load_facts())
    train(writer, tmp_path, Budget(steps=2), processes=2, fused=False)
    train(writer, tmp_path, Budget(steps=3), processes=2, fused=False)
    progress = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["progress"]
    log = [json.loads(line) for line in (tmp_path / "loss.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [1, 2, 3] == list(range(1, progress["step"] + 1))
    assert log[-1]["tokens"] == progress["tokens"] > 3 * BATCH_TOKENS
    assert log[-1]["loss"] < log[0]["loss"]
    assert export_then_read(tmp_path) == Shape().parameters


def export_then_read(work: Path) -> int:
    """The number of weights in the GGUF that is made of a work folder."""
    export(load_network(work / "checkpoint.pt"), load_tokenizer(work / "tokenizer.json"), work / "guide.gguf")
    return sum(int(tensor.n_elements) for tensor in GGUFReader(work / "guide.gguf").tensors)
