# Prints the distributions of this interpreter with their versions, and for each argument, a PEP 508
# requirement, whether it is met. The output is JSON: [{name: version}, [[answer, why], ...]].
# An answer is yes, no, ignored (the marker excludes this interpreter), unknown or invalid.
# Plain names need no pip.
import sys

# With -c, the empty entry is the working directory, whose files must not shadow modules.
sys.path[:] = [path for path in sys.path if path]

import glob
import importlib
import importlib.metadata
import json
import os
import re
import sysconfig


def normalize(name):
    return re.sub(r"[-_.]+", "-", name).lower()


installed = {}
for one in importlib.metadata.distributions():
    name = one.metadata["Name"]
    if name:
        installed.setdefault(normalize(name), one)


def library():
    """Returns packaging.requirements: pip's copy, else an installed one, else the copy in the wheel
    of pip that venv would install."""
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
    """The spellings of an extra in its distribution: older libraries compare extras literally."""
    provided = one.metadata.get_all("Provides-Extra") or []
    return [it for it in provided if normalize(it) == normalize(extra)]


def answer(requirement, library, seen):
    name = normalize(requirement.name)
    one = installed.get(name)
    if one is None:
        return "no", name + " is not installed"
    if requirement.specifier:
        try:
            # pip accepts an installed pre-release.
            fits = requirement.specifier.contains(one.version or "", prereleases=True)
        except ValueError:
            fits = False
        if not fits:
            return "no", "{} is {}".format(name, one.version)
    for extra in sorted(requirement.extras):
        if (name, normalize(extra)) in seen:
            continue
        seen.add((name, normalize(extra)))
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
            return "unknown", "{} may come from another source".format(name)
    return "yes", ""


def answer_for(text):
    plain = re.fullmatch(r"[A-Za-z0-9._-]+", text)
    if plain:
        return ("yes", "") if normalize(text) in installed else ("no", normalize(text) + " is not installed")
    packaging = library()
    if packaging is None:
        return "unknown", "it has neither pip nor packaging to compare versions with"
    try:
        requirement = packaging.Requirement(text)
    except ValueError as error:
        return "invalid", str(error).splitlines()[0]
    if requirement.marker and not applies(requirement.marker, [""]):
        return "ignored", ""
    return answer(requirement, packaging, set())


answers = [answer_for(text) for text in sys.argv[1:]]
versions = {name: one.version or "" for name, one in installed.items()}
print(json.dumps([versions, answers]))
