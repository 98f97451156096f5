"""The discriminator: a trunk that sees items, and heads on what it sees."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganmodels.types import Items, Labels, Logits


class Trunk(nn.Module):
    """Items [batch, *shape] and labels [batch] to features [batch, width]."""

    width: int


class Verdict(NamedTuple):
    """All that a discriminator says of a batch; packs count as one item.

    ``logits`` are [batch], or [batch, rows, columns] where patches are judged. ``features``
    [batch, width] are those of the trunk; ``classes`` [batch, classes] logits of an
    auxiliary classifier; ``codes`` [batch, values] what a recogniser takes the codes for.
    """

    logits: Logits
    features: Tensor
    classes: Tensor | None = None
    codes: Tensor | None = None

    def float(self) -> "Verdict":
        """The same in float32: losses are computed in it."""
        return Verdict(*(None if one is None else one.float() for one in self))  # type: ignore[arg-type]


class Company(NamedTuple):
    """Real items [count, *shape] beside which items are scored, with their labels."""

    items: Items
    labels: Labels | None


class Discriminator(nn.Module):
    """A trunk, the head that tells real from fake, and further heads where the game has them.

    ``pack`` items of a batch are judged as one (Lin et al. 2017, arXiv:1712.04086): their channels
    lie one after the other.
    """

    def __init__(
        self,
        trunk: Trunk,
        head: nn.Module,
        pack: int = 1,
        minibatch: nn.Module | None = None,
        classifier: nn.Module | None = None,
        recogniser: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.trunk, self.head, self.pack, self.minibatch = trunk, head, pack, minibatch
        self.classifier, self.recogniser = classifier, recogniser

    @property
    def mates_matter(self) -> bool:
        """Whether a logit depends on which items are judged together."""
        return self.pack > 1 or self.minibatch is not None

    def mates(self, company: Company) -> int:
        """How many of a company stand beside each item."""
        return self.pack - 1 if self.pack > 1 else len(company.items)

    def forward(self, items: Items, labels: Labels | None) -> Verdict:
        """What all heads say of each item or pack."""
        features = self.features(items, labels)
        logits: Tensor = self.head(self._beside_company(features), labels)
        classes = None if self.classifier is None else self.classifier(features)
        codes = None if self.recogniser is None else self.recogniser(features)
        return Verdict(logits, features, classes, codes)

    def features(self, items: Items, labels: Labels | None) -> Tensor:
        """What the trunk sees: [batch / pack, width]."""
        features: Tensor = self.trunk(packed(items, self.pack), labels)
        return features

    def seen(self, items: Items, labels: Labels | None, company: Company | None) -> Tensor:
        """Features [batch, width] of each item, whose pack is filled with the same others."""
        if company is not None and self.pack > 1:
            items = _with_mates(items, company.items, self.pack)
        return self.features(items, labels)

    def score(self, items: Items, labels: Labels | None, company: Company | None) -> Logits:
        """One logit for each item [batch], whoever else is in the batch; the mean of its patches.

        Where mates matter every item has the same ones, which ``company`` holds.
        """
        logits: Logits
        if company is None:
            logits = self(items, labels).logits
        elif self.pack > 1:
            logits = self(_with_mates(items, company.items, self.pack), labels).logits
        else:
            beside = self.features(company.items, company.labels)
            logits = self.head(self._beside_company(self.features(items, labels), beside), labels)
        return logits if logits.dim() == 1 else logits.flatten(1).mean(1)

    def classify(self, items: Items) -> Tensor:
        """Logits [batch, classes] of the classes, for a discriminator that names them."""
        assert self.classifier is not None, "this discriminator names no classes"
        logits: Tensor = self.classifier(self.features(items, None))
        return logits

    def recognise(self, items: Items) -> Tensor:
        """Logits and means [batch, code_width] of codes, for one that recovers them."""
        assert self.recogniser is not None, "this discriminator recovers no codes"
        codes: Tensor = self.recogniser(self.features(items, None))
        return codes

    def _beside_company(self, features: Tensor, company: Tensor | None = None) -> Tensor:
        widened: Tensor = features if self.minibatch is None else self.minibatch(features, company)
        return widened


class ClassifierDiscriminator(Discriminator):
    """Names one of the classes, or takes the item for a fake: a class beyond, whose logit is 0.

    Real against fake is then the log-odds of all classes together, logsumexp of theirs.
    Source: Salimans et al. 2016 (arXiv:1606.03498), section 5.
    """

    def __init__(self, trunk: Trunk, classifier: nn.Module) -> None:
        super().__init__(trunk, nn.Identity(), classifier=classifier)

    def forward(self, items: Items, labels: Labels | None) -> Verdict:
        """Labels are not looked at."""
        assert self.classifier is not None
        features = self.features(items, None)
        classes: Tensor = self.classifier(features)
        return Verdict(classes.logsumexp(1), features, classes)


def packed(items: Items, pack: int) -> Items:
    """[batch, channels, ...] to [batch / pack, pack * channels, ...]."""
    if pack == 1:
        return items
    return items.reshape(len(items) // pack, pack * items.shape[1], *items.shape[2:])


def _with_mates(items: Items, company: Items, pack: int) -> Items:
    """Each item followed by the same ``pack - 1`` others."""
    mates = company[: pack - 1].expand(len(items), *company[: pack - 1].shape)
    return torch.cat([items.unsqueeze(1), mates], dim=1).flatten(0, 1)
