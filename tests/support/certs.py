"""Throw-away certificates made by the openssl command: an authority and servers that it, or nobody trusted, signed."""

import os
import ssl
import subprocess

CONFIG = """\
[ca]
default_ca = own
[own]
dir = {directory}
new_certs_dir = {directory}
database = {directory}/index.txt
serial = {directory}/serial
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
"""


def run(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, stdin=subprocess.DEVNULL)


class Authority:
    """A CA in its own directory. `file` is its certificate (PEM)."""

    def __init__(self, directory, name="test authority"):
        self.directory = os.path.join(str(directory), name.replace(" ", "-"))
        os.makedirs(self.directory)
        self.config = os.path.join(self.directory, "openssl.cnf")
        self.file, self.key = os.path.join(self.directory, "ca.pem"), os.path.join(self.directory, "ca.key")
        with open(self.config, "w", encoding="ascii") as config:
            config.write(CONFIG.format(directory=self.directory))
        open(os.path.join(self.directory, "index.txt"), "w", encoding="ascii").close()
        with open(os.path.join(self.directory, "serial"), "w", encoding="ascii") as serial:
            serial.write("01\n")
        run(
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            f"/CN={name}",
            "-keyout",
            self.key,
            "-out",
            self.file,
            "-addext",
            "basicConstraints=critical,CA:TRUE",
        )

    def server(self, name="server", alternative="DNS:localhost,IP:127.0.0.1", start=None, end=None):
        """(certificate file, key file); `start` and `end` as YYYYMMDDHHMMSSZ."""
        base = os.path.join(self.directory, name)
        run(
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            f"/CN={name}",
            "-keyout",
            base + ".key",
            "-out",
            base + ".csr",
            "-addext",
            f"subjectAltName={alternative}",
        )
        dates = [*(("-startdate", start) if start else ()), *(("-enddate", end) if end else ("-days", "1"))]
        run(
            "ca",
            "-batch",
            "-config",
            self.config,
            "-cert",
            self.file,
            "-keyfile",
            self.key,
            "-notext",
            "-in",
            base + ".csr",
            "-out",
            base + ".pem",
            *dates,
        )
        return base + ".pem", base + ".key"


def server_context(certificate, key):
    """A server context that notes the name the client asked for (SNI) on the socket as `asked_name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def note(connection, name, _):
        connection.asked_name = name

    context.sni_callback = note
    return context


def client_context(authority_file):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority_file)
    return context
