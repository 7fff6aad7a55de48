"""Mutants of the errata: wrong code that would refute nothing."""

# rows of check cells that no mutant breaks yet
OWED = {
    "Erratum 1.1: log p(y) exceeds log P(x) for some u",
    "Erratum 1.2: p is not constant on any cube",
    "Erratum 1.3: digits use more than two grey values",
    "Erratum 1.4: and grows without bound",
    "Erratum 4.1: reversed order: no such product",
    "Erratum 5.1: one evaluation at z does not",
    "Erratum 5.2: sigma(z) z + mu(x) is not x",
    "Erratum 5.3: x = g(z) draws in D: no IAF",
    "Erratum 5.4: MLE of the variance: (n - 1) / n",
    "Erratum 5.5: scale 0 maps all z to one point",
    "Erratum 8.1: with the log it is the ELBO",
    "Erratum 8.2: it is not the mean",
    "Erratum 8.3: and yet p(x) - L >= 1",
}
