"""The client's side of trust: keys made, published as a JWKS, and calls signed with them, for tests of signed calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from cds.errors import ContentError

Json = dict[str, Any]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_CURVES: dict[str, type[ec.EllipticCurve]] = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
_ALGORITHM_OF = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
#: The members of a key that its thumbprint covers, by name (RFC 7638, 3.2).
_THUMBPRINT = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}
#: Seconds that a token of ours lasts.
_LIFETIME = 300


def make_key(algorithm: str) -> PrivateKey:
    """A new private key for an algorithm: ES256, ES384, ES512, or one of RSA (RS384 ...)."""
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm]())
    return rsa.generate_private_key(public_exponent=65537, key_size=3072)


def pem(key: PrivateKey) -> bytes:
    """The private key as PKCS #8 in PEM, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_jwk(key: PrivateKey, *, algorithm: str | None = None, kid: str | None = None) -> Json:
    """The public key as a JWK; its id is its thumbprint unless given (RFC 7638)."""
    public = key.public_key()
    if isinstance(public, ec.EllipticCurvePublicKey):
        jwk = dict(jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True))
    else:
        jwk = dict(jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True))
    jwk.pop("key_ops", None)
    return {**jwk, "use": "sig", "alg": algorithm or algorithm_of(key), "kid": kid or thumbprint(jwk)}


def thumbprint(jwk: Json) -> str:
    """The SHA-256 thumbprint of a JWK, in base64url (RFC 7638)."""
    members = {name: jwk[name] for name in _THUMBPRINT[jwk["kty"]]}
    return jwt.utils.base64url_encode(sha256(orjson.dumps(members)).digest()).decode()


def algorithm_of(key: PrivateKey) -> str:
    """The algorithm that a key is for, as CDS Hooks recommends: ES384 or its kin by curve, RS384."""
    return _ALGORITHM_OF[key.curve.name] if isinstance(key, ec.EllipticCurvePrivateKey) else "RS384"


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs calls as the CDS client `issuer` with one of its keys."""

    issuer: str
    key: PrivateKey = field(repr=False)
    kid: str
    algorithm: str
    jku: str | None = None

    @classmethod
    def load(cls, path: Path, issuer: str, *, kid: str | None = None, jku: str | None = None) -> Signer:
        """The signer with the private key in a PEM file; ContentError where it holds none that can sign."""
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise ContentError(
                f"holds no private key that can be read ({type(error).__name__})",
                where=str(path),
                remedy="give an EC or RSA key in PEM without password: cds keys FOLDER makes one",
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) or (
            isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name not in _ALGORITHM_OF
        ):
            raise ContentError("is for no algorithm of CDS Hooks", where=str(path), remedy="give an EC or RSA key")
        return cls(issuer, key, kid or str(public_jwk(key)["kid"]), algorithm_of(key), jku)

    def authorization(self, url: str, *, now: datetime) -> str:
        """The Authorization header of one call of `url`: a token that serves once, for five minutes."""
        headers = {"kid": self.kid, "typ": "JWT"} | ({"jku": self.jku} if self.jku else {})
        issued = int(now.timestamp())
        claims = {"iss": self.issuer, "aud": url, "iat": issued, "exp": issued + _LIFETIME, "jti": str(uuid4())}
        return "Bearer " + jwt.encode(claims, self.key, self.algorithm, headers=headers)
