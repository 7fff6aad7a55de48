"""Mutants of the errata: wrong code that would refute nothing."""
