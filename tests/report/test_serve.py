import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuronat.errors import UnavailableError
from neuronat.report.serve import ViewerServer, open_server
from neuronat.report.viewer import ASSETS, Show


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ViewerServer]:
    labels = tmp_path / "x_seg-a_dseg.nii.gz"
    labels.write_bytes(b"\x1f\x8blabels")
    report = tmp_path / "x.html"
    report.write_text("<p>report</p>")
    (tmp_path / "secret.txt").write_text("secret")
    show = Show({"/out/x_seg-a_dseg.nii.gz": labels, "/out/x.html": report}, [{"title": "x"}])
    with open_server(show) as opened:
        thread = threading.Thread(target=opened.serve_forever)
        thread.start()
        yield opened
        opened.shutdown()
        thread.join(10)


def ask(server: ViewerServer, path: str, method: str = "GET", **headers: str) -> tuple[int, dict, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, dict(answer.headers), content


def test_it_listens_on_the_loopback_interface_alone(server: ViewerServer):
    assert server.server_address[0] == "127.0.0.1"
    assert server.address == f"http://127.0.0.1:{server.server_port}/"


def test_the_viewer_and_the_results_come_as_they_are(server: ViewerServer):
    for path in ASSETS:
        status, headers, content = ask(server, path)
        assert (status, len(content) > 100) == (200, True)
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert json.loads(ask(server, "/results.json")[2]) == [{"title": "x"}]
    assert ask(server, "/out/x_seg-a_dseg.nii.gz")[2] == b"\x1f\x8blabels"
    status, headers, content = ask(server, "/out/x.html")
    assert (content, headers["Content-Type"]) == (b"<p>report</p>", "text/html; charset=utf-8")
    assert ask(server, "/out/x.html", "HEAD")[::2] == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/secret.txt", "/out/secret.txt", "/out/../secret.txt", "/out/%2e%2e/secret.txt", "//etc/passwd", "/out/",
        "/../../etc/passwd", "/out/x_seg-a_dseg.nii.gz/../../secret.txt", "secret.txt", "/view.html",
        "/niivue.LICENSE", "/out/x.html?y",
    ],
)  # fmt: skip
def test_nothing_else_is_there(server: ViewerServer, path: str):
    status, _, content = ask(server, path)
    assert status in (400, 404)
    assert b"secret" not in content.replace(b"secret.txt", b"")


def test_a_request_that_names_another_host_is_refused(server: ViewerServer):
    port = server.server_port
    assert ask(server, "/", Host=f"localhost:{port}")[0] == 200
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", ""):
        assert ask(server, "/", Host=host)[0] == 403, host


def test_nothing_can_be_changed(server: ViewerServer):
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(server, "/out/x.html", method)[0] == 501


def test_a_file_that_went_is_said(server: ViewerServer, tmp_path: Path):
    (tmp_path / "x.html").unlink()
    assert ask(server, "/out/x.html")[0] == 404


def test_a_port_that_is_taken_or_none_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match=f"port {port} cannot be used"):
            open_server(Show({}, []), port)
    with pytest.raises(UnavailableError, match="port 70000 cannot be used"):
        open_server(Show({}, []), 70000)
