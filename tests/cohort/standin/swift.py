"""Segmentation as it is, but for what takes long: networks answer from intensities, N4 finds no bias field."""

import numpy as np

from neuronat.cohort.work import open_segmentation


def brain_probabilities(networks, intensities, coordinates, mask, *_rest):
    n_classes = networks["structures"].config.n_classes
    score = intensities[mask] + 0.3 * coordinates[:, mask].sum(0)
    rows = np.full((len(score), n_classes), 0.01, np.float32)
    rank = np.argsort(np.argsort(score, kind="stable"), kind="stable")
    rows[np.arange(len(score)), rank * n_classes // len(score)] = 1
    return rows / rows.sum(1, keepdims=True)


def open_swift(job, seat):
    """Open the real work in a worker, with these two steps replaced."""
    import neuronat.pipeline.answers
    import neuronat.prepare.bias

    neuronat.pipeline.answers.brain_probabilities = brain_probabilities
    neuronat.prepare.bias._estimate_log_field = lambda values, _: np.zeros_like(values)
    return open_segmentation(job, seat)
