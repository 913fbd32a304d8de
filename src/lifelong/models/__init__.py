"""Models as recipes: frozen descriptions that a backend builds once the input shape is known."""

from .recipes import CNN, MLP, VAE, Recipe, cnn, mlp, parse, vae

__all__ = ["CNN", "MLP", "VAE", "Recipe", "cnn", "mlp", "parse", "vae"]
