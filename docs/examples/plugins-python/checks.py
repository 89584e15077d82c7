"""A resolver for files `*.checks`: each section is a test that runs a command."""

import configparser

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import resolve
from wit_world.imports import types, workspace

LIMIT = 1 << 20


class Plugin(exports.Plugin):
    def describe(self, request):
        return types.Description(
            name="checks",
            version="0.1.0",
            summary="reads commands and their expected output from .checks files",
            roles=[types.Role("resolver", kinds=["check"], more=[])],
            settings=[],
            more=[],
        )


class Resolve(exports.Resolve):
    def resolve(self, request):
        path = request.reference
        if not path.endswith(".checks"):
            return answer(resolve.Finding_NotFound(f"{path} is no .checks file"))
        if workspace.stat(path).size > LIMIT:
            raise Err(types.Error("too-large", f"{path} has more than 1 MiB", []))
        text = workspace.read(path, 0, LIMIT).decode(errors="replace")
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(text, source=path)
            tests = [runnable(name, parser[name]) for name in parser.sections()]
        except (configparser.Error, KeyError) as error:
            return answer(resolve.Finding_Corrupt(f"{path}: {error}"))
        return answer(resolve.Finding_Found(tests))


def answer(finding):
    return resolve.Resolution(finding, more=[])


def runnable(name, section):
    return types.Runnable(
        kind="check",
        uri=section["command"],
        args=[],
        kwargs=[("expect", types.Value_Text(section.get("expect", "")))],
        env=[],
        tags=[],
        requirements=[],
        identifier=name,
        more=[],
    )
