"""Does one thing with Helm's SDK, for tests: python3 helm.py FOLDER_OF_THE_SDK, with what to do as JSON on standard
input. Prints what came of it, as JSON too. What Helm logs goes to standard error."""

import json
import sys

sys.path.insert(0, sys.argv[1])

import helm_python as helm  # noqa: E402


def lint(wanted):
    return helm.lint(wanted["chart"], wanted["values"], strict=True)


def render(wanted):
    with helm.Chart.load(wanted["chart"]) as chart:
        chart.validate_schema(wanted["values"])
        return chart.render(wanted["values"], name=wanted["release"], namespace=wanted["namespace"])


def defaults(wanted):
    with helm.Chart.load(wanted["chart"]) as chart:
        return {"values": chart.values, "schema": chart.schema, "metadata": chart.metadata}


def on_cluster(act):
    def acting(wanted):
        with helm.Config(kubeconfig_path=wanted["kubeconfig"], namespace=wanted["namespace"]) as config:
            return act(config, wanted)

    return acting


@on_cluster
def install(config, wanted):
    return config.install(
        wanted["chart"],
        wanted["release"],
        wanted["values"],
        namespace=wanted["namespace"],
        create_namespace=True,
    )


@on_cluster
def upgrade(config, wanted):
    return config.upgrade(wanted["chart"], wanted["release"], wanted["values"], namespace=wanted["namespace"])


@on_cluster
def uninstall(config, wanted):
    return config.uninstall(wanted["release"])


ACTIONS = {
    "lint": lint,
    "render": render,
    "defaults": defaults,
    "install": install,
    "upgrade": upgrade,
    "uninstall": uninstall,
}

wanted = json.load(sys.stdin)
try:
    answer = {"ok": ACTIONS[wanted["action"]](wanted)}
except helm.HelmError as error:
    answer = {"error": str(error)}
json.dump(answer, sys.stdout)
