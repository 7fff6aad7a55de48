"""Likelihood-based deep generative models, written to be read.

The library behind the executable textbook. One file holds one idea of the
lectures; a lower room never imports an upper one:

    nn, data <- likelihoods <- flows <- dequantization, vae <- training <- zoo

Importing this package needs torch and numpy alone.
"""

__version__ = "0.1.0"

from .grading.check import check as check
