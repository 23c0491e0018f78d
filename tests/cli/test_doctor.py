import json

import pytest

from neuronat.nets.folder import shipped_models
from neuronat.pipeline import device


def test_the_doctor_tests_every_device_and_model_and_names_no_host(run):
    done = run("doctor", "--json")
    findings = json.loads(done.stdout)
    assert findings["devices"]["cpu"]["sound"] is True
    assert set(findings["models"]) == set(shipped_models())
    assert findings["packages"]["torch"].startswith("2.")
    assert set(findings) == {
        "neuronat", "python", "system", "packages", "cores", "free_memory_gb", "devices", "models", "sound"
    }  # fmt: skip
    assert done.exit_code == (0 if findings["sound"] else 69)


def test_a_device_that_calculates_wrongly_gets_69(run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(device, "device_error", lambda _name: 0.5)
    done = run("doctor")
    assert done.exit_code == 69
    assert "device cpu: CALCULATES WRONGLY, do not use it" in done.stdout
