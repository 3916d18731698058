"""Likelihoods that are built."""

from ae_lightning.likelihoods import Likelihood


def built(likelihood: Likelihood, shape=(1, 4, 4)) -> Likelihood:
    likelihood.build(shape)
    return likelihood.double()
