"""check.py VALUES RENDERED FOLDER: checks what helm made of a values file: against the schemas of Kubernetes, and what
no schema knows. Leaves the forebay.toml and the alert rules in the folder."""
import pathlib
import re
import sys

import kubernetes_validate
import yaml

# The oldest that the chart accepts, and the newest whose schemas are here.
VERSIONS = ["1.27", "1.37"]
CUSTOM = {"ServiceMonitor", "PrometheusRule"}
SECONDS = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}


def seconds(duration):
    number, unit = re.fullmatch(r"(\d+) ?(\w+)", duration).groups()
    return int(number) * SECONDS[unit]


def main():
    values = yaml.safe_load(open(sys.argv[1]))
    documents = [one for one in yaml.safe_load_all(open(sys.argv[2])) if one]
    folder = pathlib.Path(sys.argv[3])
    for document in documents:
        if document["kind"] not in CUSTOM:
            for version in VERSIONS:
                kubernetes_validate.validate(document, version, strict=True)
    by_kind = {}
    for document in documents:
        by_kind.setdefault(document["kind"], []).append(document)
    names = [(one["kind"], one["metadata"]["name"]) for one in documents]
    assert len(set(names)) == len(names), names

    (config,) = by_kind["ConfigMap"]
    text = config["data"]["forebay.toml"]
    (folder / "forebay.toml").write_text(text)
    for rule in by_kind.get("PrometheusRule", []):
        (folder / "alerts.yaml").write_text(yaml.safe_dump(rule["spec"]))

    (node,) = by_kind["StatefulSet"]
    pod = node["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    grace = seconds(re.search(r'shutdown_grace = "(.*)"', text).group(1))
    drain = re.search(r'drain_delay = "(.*)"', text)
    assert grace > (seconds(drain.group(1)) if drain else 5)
    assert pod["terminationGracePeriodSeconds"] >= grace + 15, pod["terminationGracePeriodSeconds"]

    security = {**pod["securityContext"], **container["securityContext"]}
    assert security["runAsNonRoot"] and security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]} and security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]

    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for port, name in [(8080, "http"), (9180, "admin")] + ([(8443, "https")] if "tls" in values else []):
        assert ports[name] == port and f'"0.0.0.0:{port}"' in text, name
    for probe, path in [("livenessProbe", "/health"), ("startupProbe", "/health"), ("readinessProbe", "/ready")]:
        assert container[probe]["httpGet"] == {"path": path, "port": "admin"}, probe
    token = next(one for one in container["env"] if one["name"] == "FOREBAY_ADMIN_TOKEN")
    assert "secretKeyRef" in token["valueFrom"], "the admin listener is open to the pod's network"

    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    claims = [claim["metadata"]["name"] for claim in node["spec"].get("volumeClaimTemplates", [])]
    assert mounted["spool"] == "/var/lib/forebay" and 'dir = "/var/lib/forebay"' in text
    is_kept = values.get("persistence", {}).get("enabled", True)
    assert (claims == ["spool"]) == is_kept and ("emptyDir" in volumes.get("spool", {})) != is_kept
    assert set(mounted) == set(volumes) | set(claims)

    labels = node["spec"]["template"]["metadata"]["labels"]
    for service in by_kind["Service"]:
        assert service["spec"]["selector"].items() <= labels.items()
        assert all(port["targetPort"] in ports for port in service["spec"]["ports"])
    assert node["spec"]["serviceName"] in [service["metadata"]["name"] for service in by_kind["Service"]]
    for monitor in by_kind.get("ServiceMonitor", []):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        (chosen,) = [one for one in by_kind["Service"] if wanted <= one["metadata"]["labels"].items()]
        (port,) = chosen["spec"]["ports"]
        assert port["name"] == monitor["spec"]["endpoints"][0]["port"]
    account = pod["serviceAccountName"]
    made = [one["metadata"]["name"] for one in by_kind.get("ServiceAccount", [])]
    assert made == [account] if values.get("serviceAccount", {}).get("create", True) else not made
    print(f"{pathlib.Path(sys.argv[1]).name}: {len(documents)} documents are valid for {' and '.join(VERSIONS)}")


main()
