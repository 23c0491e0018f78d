"""`neuronat view`: results in an interactive viewer, in the browser of this machine."""

import tempfile
from pathlib import Path

import click

from neuronat.cli.options import series_option

__all__ = ["command"]


@click.command(name="view")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--scan",
    "scans",
    type=click.Path(path_type=Path),
    multiple=True,
    help="File or DICOM folder to show below its labels.",
)
@series_option
@click.option("--port", type=int, default=0, metavar="N", help="Port of the loopback interface. [default: a free one]")
@click.option("--no-browser", is_flag=True, help="Open no browser, only say the address.")
@click.pass_context
def command(
    context: click.Context, out: Path, scans: tuple[Path, ...], series: str | None, port: int, no_browser: bool
) -> None:
    """Show results in an interactive viewer, in the browser of this machine.

    Labels lie over the scan, names stand under the pointer. OUT is a folder that segment wrote into.
    The viewer is served on the loopback interface alone (127.0.0.1), until Ctrl-C, and hands out
    nothing but the files of these results and the scans named. Without --scan the brain mask is shown below the labels.
    """
    import webbrowser

    from neuronat.cli.failures import Stopped
    from neuronat.report.serve import open_server
    from neuronat.report.viewer import plan_show, viewable
    from neuronat.space.scan import ReadOptions

    with tempfile.TemporaryDirectory(prefix="neuronat-") as place:
        files = [viewable(scan, Path(place), ReadOptions(series=series, force=True)) for scan in scans]
        with open_server(plan_show(out, files), port) as server:
            click.echo(f"{server.address} shows {out}; Ctrl-C ends it")
            try:
                if not no_browser:
                    webbrowser.open(server.address)
                server.serve_forever()
            except (Stopped, KeyboardInterrupt) as stop:
                context.exit(getattr(stop, "exit_code", 130))
