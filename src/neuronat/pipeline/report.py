"""From a result to the texts beside its images: the page that shows it, and statistics."""

import logging

from neuronat.measure.stats import aseg_stats
from neuronat.pipeline.result import Result
from neuronat.pipeline.settings import SegmentConfig
from neuronat.report.page import PageContent, render_page

__all__ = ["page_of", "texts_of"]

logger = logging.getLogger(__name__)


def texts_of(result: Result, config: SegmentConfig) -> tuple[dict[str, str], BaseException | None]:
    """Make the texts that the user wants beside the images.

    Parameters
    ----------
    result : Result
        What came out of a scan.
    config : SegmentConfig
        What the user decided.

    Returns
    -------
    dict of str to str
        Texts by the name of their file.
    BaseException or None
        Why there is no report although it was wanted: a mistake in it must not cost the labels.

    Notes
    -----
    Source: ours (decision 0018).
    """
    texts: dict[str, str] = {}
    for protocol, labels in result.labels.items() if config.has_stats else ():
        name = f"{result.stem}_seg-{protocol}_dseg.{config.file_format}"
        stats = aseg_stats(result.volumes[protocol], labels, result.image, result.mask, name)
        texts[f"{result.stem}_seg-{protocol}_aseg.stats"] = stats
    if config.has_report:
        try:
            texts[f"{result.stem}.html"] = page_of(result)
        except Exception as error:
            logger.debug("the report of %s failed", result.stem, exc_info=True)
            return texts, error
    return texts, None


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
