"""Recipes that belong together: the rows of the lectures' Table 1."""

from __future__ import annotations

from .recipe import Recipe, recipe

# each row, and its model: all see 12,800 pictures of Fashion-MNIST, and have
# as many parameters as Flow++, up to 20 percent
TABLE1 = {
    "RealNVP": "fashion_realnvp_row",
    "Glow": "fashion_glow_row",
    "IAF-VAE": "fashion_iaf_vae",
    "Flow++": "fashion_flowpp",
    "Multiscale PixelCNN": "fashion_multiscale_pixelcnn",
    "PixelCNN": "fashion_pixelcnn",
    "PixelRNN": "fashion_pixelrnn",
    "Gated PixelCNN": "fashion_gated_pixelcnn",
    "PixelCNN++": "fashion_pixelcnnpp",
    "Image Transformer": "fashion_image_transformer",
    "PixelSNAIL": "fashion_pixelsnail",
    "TarFlow": "fashion_tarflow",
}
GROUPS = {"table1": TABLE1}


def group(name: str) -> list[Recipe]:
    """Return the recipes of a group.

    Raises:
        ValueError: If there is no such group.
    """
    if name not in GROUPS:
        raise ValueError(
            f"there is no group {name!r}; expected one of {sorted(GROUPS)}"
        )
    return [recipe(one) for one in GROUPS[name].values()]
