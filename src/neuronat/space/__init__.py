"""Grids and files: where a voxel is in the world, and how images enter and leave."""

__all__: list[str] = []
