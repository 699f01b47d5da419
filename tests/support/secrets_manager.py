"""A scripted stand-in for AWS Secrets Manager: checks each request's signature, and answers what the test wants.

Nothing that speaks its protocol is in Debian or npm: the real counterpart of these tests is tests/infra/secrets_test.py
with moto. What this one can and moto cannot: be slow, deny, and break in the middle.
"""

import hashlib
import hmac
import http.server
import json
import re
import threading
import uuid

KEY_ID, SECRET, REGION = "AKIAEXAMPLE", "secret/of+the+access+key", "eu-west-1"
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/secretsmanager/aws4_request,\s*"
    r"SignedHeaders=(?P<headers>[a-z0-9;-]+),\s*Signature=(?P<signature>[0-9a-f]{64})$"
)


def signature_of(headers, body, found):
    """What the signature must be, by the rules of Signature Version 4."""

    def keyed(key, text):
        return hmac.new(key, text.encode(), hashlib.sha256).digest()

    signed = found["headers"].split(";")
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in signed)
    canonical = "\n".join(["POST", "/", "", lines, found["headers"], hashlib.sha256(body).hexdigest()])
    scope = f"{found['day']}/{found['region']}/secretsmanager/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, digest])
    key = ("AWS4" + SECRET).encode()
    for part in (found["day"], found["region"], "secretsmanager", "aws4_request"):
        key = keyed(key, part)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class SecretsManager:
    """`put(...)` makes a new version. `answer`: None, or a function that gives (status, body) instead."""

    def __init__(self, name="claude-proxy-secrets"):
        self.name, self.answer = name, None
        self.asked, self.problems = 0, []
        self.document, self.version = None, None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.asked += 1
                outer.check({name.lower(): value for name, value in self.headers.items()}, body)
                status, text = (outer.answer or outer.current)(json.loads(body))
                if status == 0:
                    self.close_connection = True
                    return
                data = text.encode()
                self.send_response(status)
                self.send_header("content-type", "application/x-amz-json-1.1")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.settings = {
            "SECRETS": f"aws-secretsmanager:{name}",
            "SECRETS_REFRESH": "1s",
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": self.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def check(self, headers, body):
        found = AUTHORIZATION.match(headers.get("authorization", ""))
        if not found or found["key"] != KEY_ID or found["region"] != REGION:
            self.problems.append("no signature")
        elif not {"host", "x-amz-date", "x-amz-target"} <= set(found["headers"].split(";")):
            self.problems.append(f"not signed: {found['headers']}")
        elif signature_of(headers, body, found) != found["signature"]:
            self.problems.append("a wrong signature")
        if headers.get("x-amz-target") != "secretsmanager.GetSecretValue":
            self.problems.append(f"target {headers.get('x-amz-target')}")
        if headers.get("content-type") != "application/x-amz-json-1.1":
            self.problems.append(f"content type {headers.get('content-type')}")

    def put(self, **members):
        self.put_text(json.dumps(members))

    def put_text(self, text):
        self.document, self.version = text, str(uuid.uuid4())

    def current(self, asked):
        if asked != {"SecretId": self.name} or self.document is None:
            return refusal("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")(asked)
        told = {"Name": self.name, "VersionId": self.version, "SecretString": self.document}
        return 200, json.dumps({**told, "VersionStages": ["AWSCURRENT"], "CreatedDate": 1_790_000_000.5})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        assert not self.problems, self.problems[:5]


def refusal(code, message="no"):
    return lambda _: (400, json.dumps({"__type": code, "Message": message}))


def away(_):
    return 500, json.dumps({"__type": "InternalServiceError", "Message": "come again"})
