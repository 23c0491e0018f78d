"""Numbers about label maps: overlap, surface distance, volumes, plausibility, paired tests."""

__all__: list[str] = []
