"""Trained models: how they were made, what they score, their weights."""

from .card import Card, Metric
from .groups import GROUPS, TABLE1, group
from .recipe import Recipe, all_recipes, names, recipe
from .store import card, load, published, results
from .train import evaluate, train, train_all

__all__ = [
    "GROUPS",
    "TABLE1",
    "Card",
    "Metric",
    "Recipe",
    "all_recipes",
    "card",
    "evaluate",
    "group",
    "load",
    "names",
    "published",
    "recipe",
    "results",
    "train",
    "train_all",
]
