"""From a result to the page that shows it."""

from neuronat.pipeline.result import Result
from neuronat.report.page import PageContent, render_page

__all__ = ["page_of"]


def page_of(result: Result) -> str:
    """Return the report of a result as HTML (see `report.page.render_page`)."""
    return render_page(
        PageContent(
            title=result.stem,
            image=result.image,
            mask=result.mask,
            labels=result.labels,
            volumes=result.volumes,
            verdict=result.verdict,
            reasons=(),
            warnings=result.warnings,
            provenance=result.provenance,
            confidence=result.confidence,
        )
    )
