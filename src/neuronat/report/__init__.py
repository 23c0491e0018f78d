"""Figures and pages that people look at."""

__all__: list[str] = []
