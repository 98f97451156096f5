"""The benchmark of training compares like with like."""

import pytest
import torch

from benchmarks.training_lab.setup import Setup
from benchmarks.training_lab.textbook import Procedure, Textbook
from ganmodels.data.batches import stream

CPU = torch.device("cpu")
NETWORK = {"kind": "dcgan", "extra_convolutions": False}
WIDTHS = {"generator_width": 4, "discriminator_width": 4}


def setup(procedure: Procedure, norm: str, **game: object) -> Setup:
    network = {**NETWORK, **WIDTHS, "discriminator_norm": norm}
    plain = {"conditioning": {"kind": "none"}, "labels": {"kind": "given"}, "network": network}
    return Setup("tiny", 16, 3, 8, "dcgan", {**plain, **game}, procedure)


@pytest.mark.parametrize(
    "tried",
    [
        setup("logistic", "batch"),
        setup("r1_r2", "none", penalties=[{"kind": "r1"}, {"kind": "r2"}]),
    ],
    ids=lambda one: one.procedure,
)
def test_the_textbook_s_step_is_ours_with_shared_fakes(tried):
    match, deck = tried.match(CPU, exchange={"kind": "shared_fakes"})
    match.autocast = None
    book = Textbook(tried.config(), tried.items(), tried.procedure, CPU, workers=0)
    latent = tried.config().game.latent
    for step in range(3):
        # The same reals and the same latents for both.
        book.batches = iter([deck.real(step).items])
        latents = latent.draw(tried.batch_size, stream(match.seed, "step", step, torch.Generator()))
        book.noise = lambda drawn=latents: drawn
        book.run(1)
        match.play(deck)
    # By what they say: a bias in front of a norm is pushed about by rounding alone.
    with torch.no_grad():
        made = match.generator(latents, None)
        torch.testing.assert_close(made, book.generator(latents, None), rtol=1e-3, atol=1e-4)
        items = deck.real(3).items
        ours, theirs = (one.discriminator(items, None).logits for one in (match, book))
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
