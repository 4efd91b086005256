"""The example for notebooks in the documentation, run as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import responses
from cryptography.hazmat.primitives import serialization
from requests import PreparedRequest

from tests.api.registering import BASE, EC_KEY
from tests.api.registry.serving import ROOT, Registry

PAGE = ROOT / "docs" / "api" / "viewdefinition-run.md"


@responses.activate
def test_the_example_goes_from_a_key_to_a_data_frame_in_ten_lines(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert sum(bool(line) for line in code.splitlines()) <= 10

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        path = str(request.url).removeprefix("https://fhir.trial.example")
        headers: Any = dict(request.headers)
        got = registry.http.open(path, method=request.method, headers=headers, data=request.body)
        return got.status_code, {"Content-Type": got.content_type}, got.data

    for method in ("GET", "POST"):
        responses.add_callback(method, re.compile(re.escape(BASE)), answer)
    pem = EC_KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "registry.pem").write_bytes(pem)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.time", registry.clock.now().timestamp)
    code = code.replace("https://fhir.example.org/fhir", BASE).replace("hcc-registry-5f0c1a2b", "c1")
    names: dict[str, Any] = {}
    exec(code, names)
    frame = names["frame"]
    assert len(frame) > 100
    assert {"result_key", "subject_key"} <= set(frame.columns)
