"""Training: examples, augmentation, the loop."""

__all__: list[str] = []
