"""A real Prometheus on a free port, with the configuration and the rules of infra/slo, but every second."""

import json
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request

import yaml

from support.servers import ROOT, Server
from support.timing import seconds


class Prometheus(Server):
    """`targets`: addresses by the job's short name, "api" or "worker"."""

    name = "prometheus"

    def __init__(self, **targets):
        super().__init__()
        shutil.copytree(os.path.join(ROOT, "infra/slo/rules"), os.path.join(self.directory, "rules"))
        for path in os.listdir(os.path.join(self.directory, "rules")):
            self._rewrite(os.path.join("rules", path), lambda text: text.replace("interval: 30s", "interval: 1s"))
        shutil.copy(os.path.join(ROOT, "infra/slo/prometheus.yaml"), self.directory)
        self._rewrite("prometheus.yaml", self._every_second)
        os.mkdir(os.path.join(self.directory, "targets"))
        for job, addresses in targets.items():
            with open(os.path.join(self.directory, f"targets/{job}.yaml"), "w", encoding="utf-8") as file:
                json.dump([{"targets": addresses}], file)

    def _rewrite(self, path, change):
        path = os.path.join(self.directory, path)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(change(text))

    @staticmethod
    def _every_second(text):
        settings = yaml.safe_load(text)
        settings["global"].update(scrape_interval="1s", evaluation_interval="1s", scrape_timeout="1s")
        del settings["alerting"]  # nobody is there to be told
        return yaml.safe_dump(settings)

    def command(self):
        return [
            "prometheus",
            "--config.file=prometheus.yaml",
            "--storage.tsdb.path=data",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=warn",
        ]

    def answers(self):
        """It listens before it has read its data, and says 503 until then."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=seconds(5)):
                return True
        except OSError:
            return False

    def ask(self, path, **query):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=seconds(20)) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as problem:
            raise AssertionError(f"{query}: {problem.read().decode()}") from None

    def series(self, query):
        """(labels, value) of each series of an instant query; values that are no number are left out."""
        found = [(each["metric"], float(each["value"][1])) for each in self.ask("query", query=query)["result"]]
        return [(labels, value) for labels, value in found if value == value]

    def value(self, query):
        found = self.series(query)
        return found[0][1] if found else None

    def alert_state(self, name):
        for group in self.ask("rules", type="alert")["groups"]:
            for rule in group["rules"]:
                if rule["name"] == name:
                    return rule["state"]
        return None

    def unhealthy_rules(self):
        return [
            (rule["name"], rule.get("lastError"))
            for group in self.ask("rules")["groups"]
            for rule in group["rules"]
            if rule["health"] == "err"
        ]
