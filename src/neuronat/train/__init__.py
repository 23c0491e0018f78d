"""Training: examples, augmentation, the loop."""
