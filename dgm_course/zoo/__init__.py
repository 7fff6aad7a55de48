"""Trained models: how they were made, what they score, their weights."""

from .card import Card, Metric
from .groups import GROUPS as GROUPS
from .groups import TABLE1 as TABLE1
from .groups import group
from .judge import evaluate
from .recipe import Recipe, all_recipes, names, recipe
from .store import card, load, published, results
from .train import train, train_all

__all__ = [
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
