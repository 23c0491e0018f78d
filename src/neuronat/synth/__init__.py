"""Images from label maps, and real scans made older, turned, shaded, blurred: what networks learn to see through."""

__all__: list[str] = []
