"""Models as recipes: frozen descriptions that a backend builds once the input shape is known."""

from .recipes import CNN, MLP, VAE, Columns, Recipe, ResNet18, cnn, mlp, parse, resnet18, vae

__all__ = [
    "CNN", "MLP", "VAE", "Columns", "Recipe", "ResNet18", "cnn", "mlp", "parse", "resnet18", "vae",
]  # fmt: skip
