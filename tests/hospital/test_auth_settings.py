"""What the settings say of access is checked whole before anything is sent, and no secret is ever shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fhirbridge import settings
from fhirbridge.errors import ConfigurationError
from fhirbridge.hospital.access import access
from fhirbridge.hospital.signing_key import SigningKey, read_signing_key
from tests.hospital.secured import SECRET, Authority, jwk, jwks, pem, private

HTTPS = "https://hospital.test/fhir"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _read(**given: object) -> settings.Settings:
    return settings.read(**{"hospital": HTTPS, **given})


def _refused(**given: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        access(_read(**given))
    assert SECRET not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"hospital_auth": "basic"}, "hospital_username"),
        ({"hospital_auth": "basic", "hospital_username": "us"}, "hospital_password_file"),
        ({"hospital_auth": "basic", "hospital_username": "us", "hospital_password": ""}, "hospital_password_file"),
        ({"hospital_auth": "basic", "hospital_username": "u:s", "hospital_password": SECRET}, "colon"),
        ({"hospital_auth": "bearer"}, "hospital_token_file"),
        ({"hospital_auth": "client-credentials"}, "hospital_client_secret_file"),
        ({"hospital_auth": "client-credentials", "hospital_client_secret": SECRET}, "hospital_client_id"),
        ({"hospital_auth": "smart"}, "hospital_client_id"),
        ({"hospital_auth": "smart", "hospital_client_id": "trial"}, "hospital_private_key"),
        ({"hospital_password": SECRET}, "hospital_auth is 'none', which does not use it"),
        ({"hospital_auth": "bearer", "hospital_client_secret": SECRET}, "hospital_client_secret is set"),
        ({"hospital_certificate_key": "key.pem"}, "hospital_certificate is not"),
        ({"hospital_proxy": f"socks5://us:{SECRET}@proxy.test"}, "hospital_proxy must be like"),
        ({"hospital_proxy": SECRET}, "hospital_proxy must be like"),
    ],
)
def test_what_is_missing_or_of_no_use_is_named(given: dict[str, object], named: str) -> None:
    assert named in _refused(**given)


@pytest.mark.parametrize(
    "url", ["http://login.test/token", f"https://us:{SECRET}@login.test/token", "login", "https://"]
)
def test_a_token_url_must_be_https_and_hold_no_password(url: str) -> None:
    given = {"hospital_auth": "client-credentials", "hospital_client_id": "trial", "hospital_client_secret": SECRET}
    assert "hospital_token_url must be" in _refused(**given, hospital_token_url=url)


def test_credentials_are_not_sent_in_the_clear_but_to_this_machine(tmp_path: Path) -> None:
    given = {"hospital_auth": "basic", "hospital_username": "us", "hospital_password": SECRET}
    assert "is not https" in _refused(**given, hospital="http://hospital.test/fhir")
    assert access(_read(**given, hospital="http://127.0.0.1:8080/fhir")).auth is not None
    assert access(_read(hospital="http://hospital.test/fhir")).auth is None


def test_smart_with_a_token_url_of_ones_own_needs_scopes_of_ones_own(tmp_path: Path, rsa_key: Any) -> None:
    key = private(tmp_path / "key", pem(rsa_key))
    given = {"hospital_auth": "smart", "hospital_client_id": "trial", "hospital_private_key": key}
    assert "set hospital_scopes" in _refused(**given, hospital_token_url="https://login.test/token")


def test_a_secret_and_its_file_are_one_too_many(tmp_path: Path) -> None:
    file = private(tmp_path / "password", SECRET)
    given = {"hospital_auth": "basic", "hospital_username": "us", "hospital_password": SECRET}
    assert "both set" in _refused(**given, hospital_password_file=file)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o777])
def test_a_secret_that_every_user_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = private(tmp_path / "password", SECRET, mode)
    said = _refused(hospital_auth="basic", hospital_username="us", hospital_password_file=file)
    assert f"chmod 640 {file}" in said


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o440])
def test_a_secret_that_the_group_of_the_service_can_read_is_taken(tmp_path: Path, mode: int) -> None:
    file = private(tmp_path / "password", f"  {SECRET}\n", mode)
    given = _read(hospital_auth="basic", hospital_username="us", hospital_password_file=file)
    assert access(given).auth is not None


@pytest.mark.parametrize("held", ["", " \n", f"{SECRET}\n{SECRET}", b"\xff\xfe"])
def test_a_secret_file_must_hold_one_line(tmp_path: Path, held: str | bytes) -> None:
    file = private(tmp_path / "password", held)
    assert "hospital_password_file" in _refused(
        hospital_auth="basic", hospital_username="us", hospital_password_file=file
    )
    assert "cannot be read" in _refused(
        hospital_auth="basic", hospital_username="us", hospital_password_file=tmp_path / "none"
    )


def test_no_setting_that_holds_a_secret_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIRBRIDGE_HOSPITAL_CLIENT_SECRET", SECRET)
    Path("fhirbridge.toml").write_text(f'hospital_password = "{SECRET}"\n')
    proxy = f"http://us:{SECRET}@proxy.test:3128"
    given = _read(hospital_proxy=proxy, database=f"postgresql+psycopg://us:{SECRET}@db.test/fhirbridge")
    assert given.hospital_password is not None
    assert given.hospital_password.get_secret_value() == SECRET
    for shown in (repr(given), str(given)):
        assert SECRET not in shown
    monkeypatch.delenv("FHIRBRIDGE_HOSPITAL_CLIENT_SECRET")
    assert SECRET not in repr(access(_read(hospital_auth="basic", hospital_username="us", hospital_proxy=proxy)))


def test_a_misspelt_way_is_told_with_the_ways_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"hospital_auth.*client-credentials"):
        _read(hospital_auth="oauth")


def test_the_type_of_a_key_chooses_its_algorithm(tmp_path: Path, rsa_key: rsa.RSAPrivateKey) -> None:
    p384 = ec.generate_private_key(ec.SECP384R1())
    for key, algorithm in ((rsa_key, "RS384"), (p384, "ES384")):
        as_pem = read_signing_key(private(tmp_path / "key.pem", pem(key)))
        as_jwk = read_signing_key(private(tmp_path / "key.json", json.dumps(jwk(key, kid="k1", alg=algorithm))))
        assert (as_pem.algorithm, as_jwk.algorithm, as_jwk.key_id) == (algorithm, algorithm, "k1")
        assert as_pem.key.private_numbers() == as_jwk.key.private_numbers() == key.private_numbers()


def test_a_key_without_an_id_is_called_by_its_thumbprint(tmp_path: Path) -> None:
    """The key of RFC 7638, 3.1 is public, so only the computation can be checked: by the JWK library's own result."""
    key = ec.generate_private_key(ec.SECP384R1())
    from sekmet.auth.keys import public_jwk

    assert read_signing_key(private(tmp_path / "key", pem(key))).key_id == public_jwk(key)["kid"]
    assert read_signing_key(private(tmp_path / "key", pem(key)), "mine").key_id == "mine"


def _encrypted(key: Any) -> bytes:
    locked = serialization.BestAvailableEncryption(b"password")
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)


def _public(key: Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


def test_what_is_no_usable_key_is_told(tmp_path: Path, rsa_key: rsa.RSAPrivateKey) -> None:
    p256 = ec.generate_private_key(ec.SECP256R1())
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    private_jwk = jwk(rsa_key, kid="a")
    cases: list[tuple[str | bytes, str | None, str]] = [
        ("nonsense", None, "no private key in PEM or JWK form"),
        ("{nonsense", None, "neither PEM nor JSON"),
        (_encrypted(rsa_key), None, "encrypted"),
        (_public(rsa_key), None, "only what is public"),
        (json.dumps(jwk(rsa_key.public_key())), None, "only what is public"),
        (json.dumps({"kty": "oct", "k": "AA", "d": "AA"}), None, "neither of type RSA nor EC"),
        (json.dumps({**private_jwk, "n": "!"}), None, "not a whole key"),
        (json.dumps({**private_jwk, "alg": "RS256"}), None, "meant for RS256"),
        (pem(p256), None, "P-384"),
        (pem(short), None, "1024 bits"),
        (jwks(), None, "holds 0 private keys"),
        (jwks(private_jwk, jwk(p256, kid="b")), None, "Name one in hospital_key_id"),
        (jwks(private_jwk), "c", "holds 0 private keys called 'c'"),
    ]
    for held, key_id, said in cases:
        with pytest.raises(ConfigurationError, match="hospital_private_key") as caught:
            read_signing_key(private(tmp_path / "key", held), key_id)
        assert said in str(caught.value)
        assert private_jwk["d"] not in str(caught.value)


def test_a_key_does_not_show_itself(rsa_key: rsa.RSAPrivateKey) -> None:
    assert "RSAPrivateKey" not in repr(SigningKey(rsa_key, "RS384", "k1"))


def test_tls_files_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.certificate("us")
    _, another = authority.certificate("them")
    locked = private(tmp_path / "locked", _encrypted(ec.generate_private_key(ec.SECP256R1())))
    nonsense = private(tmp_path / "nonsense", "nonsense")
    none = tmp_path / "none"
    cases: list[tuple[dict[str, Path], str]] = [
        ({"hospital_ca": none}, "hospital_ca: "),
        ({"hospital_ca": nonsense}, "holds no certificates"),
        ({"hospital_ca": key}, "holds no certificates"),
        ({"hospital_certificate": none, "hospital_certificate_key": key}, "cannot be read"),
        ({"hospital_certificate": certificate, "hospital_certificate_key": none}, "hospital_certificate_key: "),
        (
            {"hospital_certificate": certificate, "hospital_certificate_key": nonsense},
            "must hold a certificate and its",
        ),
        ({"hospital_certificate": certificate, "hospital_certificate_key": another}, "is not that of the certificate"),
        ({"hospital_certificate": certificate, "hospital_certificate_key": locked}, "encrypted"),
    ]
    for given, said in cases:
        assert said in _refused(**given)
    assert "only an https address" in _refused(
        hospital="http://hospital.test/fhir", hospital_certificate=certificate, hospital_certificate_key=key
    )
    key.chmod(0o644)
    assert "chmod 640" in _refused(hospital_certificate=certificate, hospital_certificate_key=key)
