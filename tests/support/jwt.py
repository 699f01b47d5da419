"""An issuer of JSON web tokens: its keys are made, and its tokens signed, by the openssl command."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import time

from support.upstream import Upstream, answer

SECRET = "a-secret-of-an-issuer-with-at-least-32-bytes"
ISSUER, AUDIENCE = "https://issuer.test/auth", "claude-proxy"


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, check=True, capture_output=True).stdout


class SharedSecret:
    algorithm, kid = "HS256", None

    def __init__(self, secret=SECRET):
        self.secret = secret if isinstance(secret, bytes) else secret.encode()

    def sign(self, text):
        return hmac.new(self.secret, text, hashlib.sha256).digest()


class PrivateKey:
    def __init__(self, directory, kid):
        self.kid, self.file = kid, os.path.join(str(directory), kid + ".pem")
        openssl("genpkey", *self.kind, "-out", self.file)

    def public_pem(self):
        return openssl("pkey", "-in", self.file, "-pubout")

    def raw_signature(self, text):
        return openssl("dgst", "-sha256", "-sign", self.file, data=text)


class RsaKey(PrivateKey):
    algorithm, kind = "RS256", ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")

    def jwk(self):
        modulus = openssl("rsa", "-in", self.file, "-noout", "-modulus").decode().strip().split("=")[1]
        return {"kty": "RSA", "kid": self.kid, "use": "sig", "n": encoded(bytes.fromhex(modulus)), "e": "AQAB"}

    def sign(self, text):
        return self.raw_signature(text)


class EcKey(PrivateKey):
    algorithm, kind = "ES256", ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")

    def jwk(self):
        point = openssl("pkey", "-in", self.file, "-pubout", "-outform", "DER")[-64:]
        return {"kty": "EC", "crv": "P-256", "kid": self.kid, "x": encoded(point[:32]), "y": encoded(point[32:])}

    def sign(self, text):
        """Two numbers of 32 bytes out of the DER that openssl writes."""
        left, both = self.raw_signature(text)[2:], b""
        for _ in range(2):
            size = left[1]
            both += left[2 : 2 + size].lstrip(b"\0").rjust(32, b"\0")
            left = left[2 + size :]
        return both


def token(key, head=None, **claims):
    """Of a user of the team `search`. A claim of None is left out; numbers of iat, nbf and exp are seconds from now."""
    whole = {"iss": ISSUER, "aud": AUDIENCE, "sub": "user-1", "team": "search", "iat": 0, "exp": 600, **claims}
    whole = {name: value for name, value in whole.items() if value is not None}
    for name in ("iat", "nbf", "exp"):
        if isinstance(whole.get(name), int):
            whole[name] += int(time.time())
    full_head = {"alg": key.algorithm, "typ": "JWT", **({"kid": key.kid} if key.kid else {}), **(head or {})}
    text = ".".join(encoded(json.dumps(part).encode()) for part in (full_head, whole))
    return f"{text}.{encoded(key.sign(text.encode()))}"


class KeyServer(Upstream):
    """Serves a JWK set at every path."""

    def __init__(self, *keys):
        super().__init__(lambda call, peer: peer.send(answer(body=self.body)))
        self.show(*keys)

    def show(self, *keys):
        self.body = json.dumps({"keys": [key.jwk() for key in keys]}).encode()
