"""Terraform with the AWS provider of a local plugin mirror, and moto as Amazon's stand-in, for the tests beside it.

moto keeps settings and runs nothing: what it takes is "accepted by moto", never "deployed".
"""

import ctypes
import functools
import glob
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TERRAFORM = os.path.join(ROOT, "infra/terraform")
ACCOUNT = "123456789012"  # moto's
REGION = "eu-west-1"
APPLY_SECONDS_MAX = 900
DIE_WITH_PARENT = functools.partial(ctypes.CDLL(None, use_errno=True).prctl, 1, signal.SIGTERM)  # PR_SET_PDEATHSIG

# What moto 5.2.1 cannot carry: left out by an override beside the module, in the copy of the tree that is applied. The
# tests with the mock provider look at these resources instead. File: (why, override).
NOT_IN_MOTO = {
    "modules/sqs/moto_override.tf": (
        "aws_sqs_queue_redrive_allow_policy: the attribute is taken and forgotten, and the provider waits for it",
        'resource "aws_sqs_queue_redrive_allow_policy" "dead" {\n  count = 0\n}\n',
    ),
    "modules/cache/moto_override.tf": (
        "aws_elasticache_subnet_group: it cannot be deleted; aws_elasticache_replication_group: it has no member "
        "clusters, and forgets nodes and encryption",
        'resource "aws_elasticache_subnet_group" "this" {\n  count = 0\n}\n'
        'resource "aws_elasticache_replication_group" "this" {\n  count = 0\n  subnet_group_name = "none"\n}\n'
        'output "id" {\n  value = "claude-proxy"\n}\n'
        'output "url" {\n  value = "redis://cache.invalid:6379"\n}\n',
    ),
}


def find_mirror():
    """The folder of a plugin mirror (HOST/hashicorp/aws/... lies below it), or None: TF_PLUGIN_MIRROR, Terraform's own
    places, then a short look."""
    binary = "*/hashicorp/aws/5.*/*/terraform-provider-aws*"
    places = [os.environ.get("TF_PLUGIN_MIRROR", ""), os.path.expanduser("~/.terraform.d/plugins")]
    places += ["/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins"]
    for place in filter(None, places):
        if glob.glob(os.path.join(place, binary)):
            return place
    look = ["find", "/", "-xdev", "-maxdepth", "8", "-name", "terraform-provider-aws_v5*", "-type", "f"]
    try:
        found = subprocess.run(
            look, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=False, text=True
        )
    except subprocess.TimeoutExpired:
        return None
    for path in found.stdout.split("\n"):
        if "/hashicorp/aws/" in path:
            return os.path.dirname(path.split("/hashicorp/aws/")[0]) or "/"
    return None


def why_no_terraform():
    """None: it can be used. Else the sentence for the skip."""
    if not shutil.which("terraform"):
        return "terraform is not installed: nothing of infra/terraform was checked"
    return None


def why_no_moto():
    if not importlib.util.find_spec("moto"):
        return f"{sys.executable} has no moto (pip package moto[server]): nothing was applied to a stand-in for Amazon"
    if not importlib.util.find_spec("boto3"):
        return f"{sys.executable} has no boto3: nothing was applied to a stand-in for Amazon"
    return None


class Terraform:
    """One copy of infra/ with a data folder of its own; `run` gives the finished process."""

    def __init__(self, folder, mirror=None):
        self.folder = str(folder)
        self.tree = os.path.join(self.folder, "infra/terraform")
        skip = shutil.ignore_patterns(".terraform", ".terraform.lock.hcl", "*.tfstate*")
        shutil.copytree(os.path.join(ROOT, "infra"), os.path.join(self.folder, "infra"), ignore=skip)
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "TF_"))}
        self.environment.update(
            CHECKPOINT_DISABLE="1",
            TF_DATA_DIR=os.path.join(self.folder, "data"),
            TF_CLI_CONFIG_FILE=os.path.join(self.folder, "mirror.tfrc"),
            TF_IN_AUTOMATION="1",
        )
        with open(self.environment["TF_CLI_CONFIG_FILE"], "w", encoding="utf-8") as file:
            if mirror:
                file.write(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n')

    def run(self, *command, seconds_max=300, **more):
        try:
            return subprocess.run(
                ["nice", "-n", "5", *command],
                cwd=self.tree,
                env={**self.environment, **more},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=seconds_max,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            told = (late.stdout or b"").decode("utf-8", "replace")[-4000:]
            raise AssertionError(f"{' '.join(command)} took more than {seconds_max} s:\n{told}") from None

    def good(self, *command, **more):
        done = self.run(*command, **more)
        assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-6000:]}"
        return done.stdout


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Moto:
    """A real moto_server on a free loopback port, or on the port of one that was stopped. It forgets at its end."""

    def __init__(self, folder, port=None):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = os.path.join(str(folder), "moto.log")
        self.log = open(self.log_path, "w", encoding="utf-8")  # pylint: disable=consider-using-with
        server = os.path.join(os.path.dirname(os.path.abspath(__file__)), "moto_server.py")
        command = [sys.executable, server, "-H", "127.0.0.1", "-p", str(self.port)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, preexec_fn=DIE_WITH_PARENT)
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        self.stop()
        raise AssertionError("moto_server does not start")

    def environment(self):
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "3",  # what moto has not is told at once
        }

    def client(self, service, region=REGION):
        import boto3  # pylint: disable=import-outside-toplevel

        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.log.close()


def resources_of(shown):
    """(address, type, values) of every managed resource in what `terraform show -json` says."""
    found = []

    def walk(module):
        for each in module.get("resources", []):
            if each["mode"] == "managed":
                found.append((each["address"], each["type"], each["values"]))
        for child in module.get("child_modules", []):
            walk(child)

    walk(json.loads(shown)["values"]["root_module"])
    return found
