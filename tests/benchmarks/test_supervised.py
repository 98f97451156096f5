"""Baselines of semi-supervised learning look at the labelled items and at nothing else."""

import numpy as np
import torch

from benchmarks.lab.options import Budget
from benchmarks.lab.playing import Task, play
from benchmarks.lab.supervised import classifier_of_labels_alone, nearest_labelled
from benchmarks.referee_lab.datasets import dataset
from ganmodels.data.batches import to_network
from ganmodels.dealing import labelled_of

torch.set_num_threads(1)

SMALL = {"network": {"generator_widths": [16], "discriminator_widths": [64, 32]}}


def task(per_class: int) -> Task:
    return Task("semi-supervised", {"game": {"labelled_per_class": per_class, **SMALL}}, digits())


def digits():
    data = dataset("digits")
    assert data is not None
    return data


def test_the_nearest_labelled_item_of_a_labelled_item_is_itself():
    config, data = task(5).config(0, steps=1), digits()
    chosen, labels = labelled_of(config, data)
    assert np.bincount(labels).tolist() == [5] * 10
    assert np.array_equal(nearest_labelled(config, data, data.items[chosen]), labels)


def test_a_classifier_of_few_labels_knows_them_and_is_right_more_often_with_more():
    data, shares = digits(), []
    for per_class in (1, 20):
        config = task(per_class).config(0, steps=1)
        alone = classifier_of_labels_alone(config, data, steps=100)
        with torch.inference_mode():
            items = to_network(data.items[data.held_out], config.space, torch.device("cpu"))
            named = alone.classify(items).argmax(1).numpy()
        shares.append(float((named == data.labels[data.held_out]).mean()))
    assert shares[0] < 0.7 < 0.75 < shares[1]


def test_the_harness_deals_labelled_items():
    played = play(task(2), 0, Budget(3, minutes=0.0))
    assert played.steps == 3
