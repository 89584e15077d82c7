# Prints, as JSON, the distributions of this interpreter with their versions, and for each argument (a requirement as
# PEP 508 has it) whether it is met: [{name: version}, [[answer, why], ...]]. Needs no pip for plain names.
# An answer is yes, no, ignored (its marker is false here), unknown or invalid.
import sys

# With -c this is the working directory, whose files are not to shadow modules.
sys.path[:] = [path for path in sys.path if path]

import glob
import importlib
import importlib.metadata
import json
import os
import re
import sysconfig


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


found = {}
for one in importlib.metadata.distributions():
    name = one.metadata["Name"]
    if name:
        found.setdefault(normal(name), one)


def library():
    """The module that pip itself compares with, else one that is installed, else that of the pip which venv would install."""
    for name in ("pip._vendor.packaging", "packaging", "setuptools._vendor.packaging"):
        try:
            return importlib.import_module(name + ".requirements")
        except ImportError:
            pass
    try:
        import ensurepip
    except ImportError:
        return None
    bundled = os.path.join(os.path.dirname(ensurepip.__file__), "_bundled")
    for directory in (bundled, sysconfig.get_config_var("WHEEL_PKG_DIR")):
        for wheel in glob.glob(os.path.join(directory or "/dev/null", "pip-*.whl")):
            sys.path.append(wheel)
    try:
        return importlib.import_module("pip._vendor.packaging.requirements")
    except ImportError:
        return None


def applies(marker, extras):
    return any(marker.evaluate({"extra": extra}) for extra in extras)


def spellings(one, extra):
    """An extra as its distribution spells it: older libraries compare it as it stands."""
    provided = one.metadata.get_all("Provides-Extra") or []
    return [it for it in provided if normal(it) == normal(extra)]


def answer(requirement, library, seen):
    name = normal(requirement.name)
    one = found.get(name)
    if one is None:
        return "no", name + " is not there"
    if requirement.specifier:
        try:
            # pip is content with a pre-release that is there already.
            good = requirement.specifier.contains(one.version or "", prereleases=True)
        except ValueError:
            good = False
        if not good:
            return "no", "{} is {}".format(name, one.version)
    for extra in sorted(requirement.extras):
        if (name, normal(extra)) in seen:
            continue
        seen.add((name, normal(extra)))
        for line in one.requires or []:
            needed = library.Requirement(line)
            if not needed.marker or applies(needed.marker, [""]):
                continue
            if applies(needed.marker, spellings(one, extra)):
                state, why = answer(needed, library, seen)
                if state != "yes":
                    return state, "{}, for {}[{}]".format(why, name, extra)
    if requirement.url:
        direct = json.loads(one.read_text("direct_url.json") or "{}")
        if direct.get("url") != requirement.url:
            return "unknown", "{} may be from elsewhere".format(name)
    return "yes", ""


def look(text):
    plain = re.fullmatch(r"[A-Za-z0-9._-]+", text)
    if plain:
        return ("yes", "") if normal(text) in found else ("no", normal(text) + " is not there")
    packaging = library()
    if packaging is None:
        return "unknown", "it has neither pip nor packaging, to compare versions with"
    try:
        requirement = packaging.Requirement(text)
    except ValueError as error:
        return "invalid", str(error).splitlines()[0]
    if requirement.marker and not applies(requirement.marker, [""]):
        return "ignored", ""
    return answer(requirement, packaging, set())


answers = [look(text) for text in sys.argv[1:]]
versions = {name: one.version or "" for name, one in found.items()}
print(json.dumps([versions, answers]))
