"""Installs the packages of the peers, in the versions of their lock files."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent


def install(tools):
    """Installs them into the folder `tools`, unless they are already there."""
    tools.mkdir(parents=True, exist_ok=True)
    # Node searches for packages beside the script, so the script is copied to them.
    files = [HERE / "node" / name for name in ("package.json", "package-lock.json", "collector.mjs")]
    if outdated(tools, "node", files):
        (tools / "node").mkdir(exist_ok=True)
        run("cp", *files, tools / "node")
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=tools / "node")
        done(tools, "node", files)
    requirements = HERE / "python" / "requirements.txt"
    if outdated(tools, "python", [requirements]):
        run(sys.executable, "-m", "venv", "--clear", tools / "python")
        pip = tools / "python" / "bin" / "pip"
        run(pip, "--disable-pip-version-check", "--quiet", "install", "--requirement", requirements)
        done(tools, "python", [requirements])


def versions(program):
    """The versions of everything that runs here."""
    packages = json.loads((HERE / "node" / "package.json").read_text())["dependencies"]
    pins = (HERE / "python" / "requirements.txt").read_text().split()
    wanted = ("fastapi==", "uvicorn==", "uvloop==", "httptools==", "orjson==", "boto3==")
    said = {"forebay": output(program, "--version"), "node": output("node", "--version")}
    said |= {"packages": packages, "python": sys.version.split()[0]}
    said["requirements"] = [pin for pin in pins if pin.startswith(wanted)]
    if "VECTOR_BIN" in os.environ:
        said["vector"] = output(os.environ["VECTOR_BIN"], "--version")
    return said


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def run(*command, cwd=None):
    subprocess.run(command, check=True, cwd=cwd)


def digest(files):
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def outdated(tools, name, files):
    stamp = tools / f"{name}.stamp"
    return not stamp.exists() or stamp.read_text() != digest(files)


def done(tools, name, files):
    (tools / f"{name}.stamp").write_text(digest(files))
