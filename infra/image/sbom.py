#!/usr/bin/env python3
"""The SBOM of the image, as SPDX 2.3 JSON on standard output: our program, every Debian package, what links to what.

    sbom.py --facts FOLDER --version VERSION --revision REVISION --created TIME

FOLDER holds what the stages of the Dockerfile found out: `ldd` (of the binary), `compiled-in` (package and version a
line: headers that went into it, and the compiler), `dpkg/` (the final image's /var/lib/dpkg). A library that no
package owns ends the build.
"""

import argparse
import glob
import hashlib
import json
import os
import re
import sys

PROGRAM = "SPDXRef-claude-proxy"
COMPILERS = ("clang-",)


def fields_of(paragraph):
    found = {}
    for line in paragraph.split("\n"):
        if line and not line.startswith(" "):
            name, _, value = line.partition(":")
            found[name] = value.strip()
    return found


def installed(dpkg):
    with open(os.path.join(dpkg, "status"), encoding="utf-8") as file:
        packages = [fields_of(each) for each in file.read().split("\n\n") if each.strip()]
    return [each for each in packages if each["Status"] == "install ok installed"]


def owners(dpkg):
    """The package of every path that dpkg installed."""
    found = {}
    for path in glob.glob(os.path.join(dpkg, "info/*.list")):
        package = os.path.basename(path)[: -len(".list")].partition(":")[0]
        with open(path, encoding="utf-8") as file:
            for line in file:
                found.setdefault(line.rstrip("\n"), package)
    return found


def owner_of(path, owned):
    """/lib is /usr/lib in Debian 12, and packages may say either."""
    other = path[len("/usr") :] if path.startswith("/usr/") else "/usr" + path
    return owned.get(path) or owned.get(other)


def libraries(text):
    """(soname, path) of what `ldd` tells; the kernel's own page has no file."""
    if "not found" in text:
        sys.exit(f"sbom: the loader misses libraries:\n{text}")
    found = re.findall(r"^\s*(\S+) => (/\S+) \(", text, re.M)
    found += [(os.path.basename(path), path) for path in re.findall(r"^\s*(/\S+) \(", text, re.M)]
    return sorted(set(found))


def identifier(kind, name):
    return f"SPDXRef-{kind}-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)


def package_entry(kind, name, version, source, architecture):
    purl = f"pkg:deb/debian/{name}@{version}?arch={architecture}&distro=debian-12".replace("+", "%2B")
    reference = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}
    return {
        "SPDXID": identifier(kind, name),
        "name": name,
        "versionInfo": version,
        "supplier": "Organization: Debian",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        **({"sourceInfo": f"built from the Debian source package {source}"} if source else {}),
        "externalRefs": [reference],
    }


def relation(which, kind, other, comment=None):
    made = {"spdxElementId": which, "relationshipType": kind, "relatedSpdxElement": other}
    return {**made, "comment": comment} if comment else made


def document(facts, version, revision, created):
    dpkg = os.path.join(facts, "dpkg")
    packages = installed(dpkg)
    architecture = packages[0]["Architecture"] if packages[0]["Architecture"] != "all" else "amd64"
    owned = owners(dpkg)
    entries = [
        {
            "SPDXID": PROGRAM,
            "name": "claude-proxy",
            "versionInfo": version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False,
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "primaryPackagePurpose": "APPLICATION",
            "sourceInfo": f"revision {revision}",
        }
    ]
    relations = [relation("SPDXRef-DOCUMENT", "DESCRIBES", PROGRAM)]
    for each in sorted(packages, key=lambda package: package["Package"]):
        source = each.get("Source", "").partition(" ")[0]
        entries.append(package_entry("deb", each["Package"], each["Version"], source, each["Architecture"]))
        relations.append(relation("SPDXRef-DOCUMENT", "DESCRIBES", entries[-1]["SPDXID"]))
    with open(os.path.join(facts, "ldd"), encoding="utf-8") as file:
        linked = libraries(file.read())
    for soname, path in linked:
        package = owner_of(path, owned)
        if package is None:
            sys.exit(f"sbom: no package owns {path}")
        relations.append(relation(PROGRAM, "DYNAMIC_LINK", identifier("deb", package), f"{soname} ({path})"))
    with open(os.path.join(facts, "compiled-in"), encoding="utf-8") as file:
        for line in file:
            name, its = line.split()
            kind = "BUILD_TOOL_OF" if name.startswith(COMPILERS) else None
            entries.append(package_entry("build", name, its, None, architecture))
            if kind:
                relations.append(relation(entries[-1]["SPDXID"], kind, PROGRAM))
            else:
                relations.append(relation(PROGRAM, "STATIC_LINK", entries[-1]["SPDXID"], "headers"))
    digest = hashlib.sha256(json.dumps([entries, relations], sort_keys=True).encode()).hexdigest()
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"claude-proxy-{version}",
        "documentNamespace": f"https://spdx.invalid/claude-proxy/{version}/{digest}",
        "creationInfo": {"created": created, "creators": ["Tool: claude-proxy-infra-image-sbom"]},
        "packages": entries,
        "relationships": relations,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    for name in ("facts", "version", "revision", "created"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    json.dump(document(given.facts, given.version, given.revision, given.created), sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
