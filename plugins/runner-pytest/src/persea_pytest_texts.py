# Owns the texts of a report: names, reasons and the output of a test.
#
# The plugin appends this file to `persea_pytest.py`.


def class_name(nodeid):
    """Returns the name that pytest's own JUnit report gives the class of a test."""
    file, _, rest = nodeid.partition("::")
    if file.endswith(".py"):
        file = file[: -len(".py")]
    return ".".join([file.replace("/", ".")] + rest.partition("[")[0].split("::")[:-1])


def subtest(context):
    """Returns the name of a subtest, as pytest writes it."""
    message, values = getattr(context, "msg", None), getattr(context, "kwargs", None) or {}
    parts = ["[%s]" % message] if message is not None else []
    if values:
        # Those of unittest are texts already.
        shown = ("%s=%s" % (name, value if isinstance(value, str) else repr(value)) for name, value in values.items())
        parts.append("(%s)" % ", ".join(shown))
    return first_line(" ".join(parts)) or "(<subtest>)"


def failure(report):
    """Returns the reason of a failed phase: that of a fixture says so."""
    reason = summary(report.longrepr)
    when = getattr(report, "when", "collect")
    words = {"setup": "setup failed: ", "teardown": "teardown failed: ", "collect": "collection failed: "}
    return words.get(when, "") + reason


def summary(longrepr):
    """Returns the essence of a traceback in one line."""
    message = getattr(getattr(longrepr, "reprcrash", None), "message", None)
    if message:
        return first_line(message)
    lines = [line for line in str(longrepr).splitlines() if line.strip()]
    errors = [line[1:].strip() for line in lines if line.startswith("E ")]
    # The last line of an error in a module is its exception; the first one of a fixture says what is missing.
    named = [line for line in errors if line.split(":")[0].rpartition(".")[2].endswith(("Error", "Exception"))]
    chosen = named[-1:] or errors[:1] or lines[-1:]
    return first_line(chosen[0]) if chosen else "no reason given"


def skip_reason(report):
    longrepr = report.longrepr
    reason = longrepr[2] if isinstance(longrepr, tuple) and len(longrepr) == 3 else longrepr
    reason = first_line(reason)
    return (reason[len("Skipped: ") :] if reason.startswith("Skipped: ") else reason) or "no reason given"


def captured(reports):
    """Returns what a test has printed and logged, each stream below its name."""
    parts = []
    for name, text in getattr(reports[-1], "sections", []) if reports else []:
        parts.append("---- %s ----\n%s" % (name, text))
    return "\n".join(parts)


def last_output(reports):
    """Returns the last line that a failed test has printed, with the name of its stream."""
    for name, text in reversed(getattr(reports[0], "sections", [])):
        lines = [line.strip() for line in text[-5000:].splitlines() if line.strip()]
        if lines:
            return "%s: %s" % (name[:1].lower() + name[1:], lines[-1][-200:])
    return "it printed output"


def first_line(text):
    """Returns the first line of a text, at most 1000 characters.

    The second line is appended where the first one ends with a colon, as in "ValueError:".
    """
    lines = [line.strip() for line in str(text)[:100000].splitlines() if line.strip()]
    line = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    return line if len(line) <= 1000 else line[:999] + "\u2026"


def shorten(text, limit=20000):
    """Cuts the middle out of a long text."""
    if len(text) <= limit:
        return text
    return text[: limit // 2] + "\n[...]\n" + text[-limit // 2 :]
