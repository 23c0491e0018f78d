"""The 3D fully connected conditional random field."""

__all__: list[str] = []
