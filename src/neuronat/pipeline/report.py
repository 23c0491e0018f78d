"""From a result to what lies beside its images: the page that shows it, a small picture, and statistics."""

import logging

from neuronat.measure.stats import aseg_stats
from neuronat.pipeline.result import Result
from neuronat.pipeline.settings import SegmentConfig
from neuronat.report.page import PageContent, render_page
from neuronat.report.thumbnail import draw_thumbnail

__all__ = ["extras_of", "page_of"]

logger = logging.getLogger(__name__)


def extras_of(result: Result, config: SegmentConfig) -> tuple[dict[str, bytes], BaseException | None]:
    """Make what the user wants beside the images.

    Parameters
    ----------
    result : Result
        What came out of a scan.
    config : SegmentConfig
        What the user decided.

    Returns
    -------
    dict of str to bytes
        Contents by the name of their file.
    BaseException or None
        Why there is no report although it was wanted: a mistake in it must not cost the labels.

    Notes
    -----
    Source: ours (decision 0018).
    """
    extras: dict[str, bytes] = {}
    for protocol, labels in result.labels.items() if config.has_stats else ():
        name = f"{result.stem}_seg-{protocol}_dseg.{config.file_format}"
        stats = aseg_stats(result.volumes[protocol], labels, result.image, result.mask, name)
        extras[f"{result.stem}_seg-{protocol}_aseg.stats"] = stats.encode()
    if config.has_report:
        try:
            extras[f"{result.stem}.html"] = page_of(result).encode()
            if config.has_thumbnail:
                protocol, labels = next(iter(result.labels.items()))
                picture = draw_thumbnail(result.image, result.mask, labels)
                extras[f"{result.stem}_seg-{protocol}_dseg.png"] = picture
        except Exception as error:
            logger.debug("the report of %s failed", result.stem, exc_info=True)
            return extras, error
    return extras, None


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
            reasons=result.reasons,
            warnings=result.warnings,
            provenance=result.provenance,
            confidence=result.confidence,
            agreement=result.agreement,
        )
    )
