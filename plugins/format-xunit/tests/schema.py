#!/usr/bin/env python3
"""Validates results.xml files against a schema of JUnit reports.

    schema.py SCHEMA REPORT...

SCHEMA is junit-10.xsd of https://github.com/jenkinsci/xunit-plugin (MIT), in its directory
src/main/resources/org/jenkinsci/plugins/xunit/types/model/xsd/, or selftests/.data/jenkins-junit.xsd
of Avocado. schema.sh, beside this file, downloads the schemas and lxml, and runs this script on the
reports of real jobs. The totals in the start tag must also be those of the test cases.
"""

import sys

from lxml import etree


def problems(schema, report):
    """Returns what is wrong with a report, as lines of text."""
    try:
        document = etree.parse(report, etree.XMLParser(huge_tree=True))
    except etree.XMLSyntaxError as error:
        return [f"not well-formed: {error}"]
    if not schema.validate(document):
        return [str(error) for error in schema.error_log]
    suite = document.getroot()
    count = {
        name: len(suite.findall(path))
        for name, path in {
            "tests": "testcase",
            "failures": "testcase/failure",
            "errors": "testcase/error",
            "skipped": "testcase/skipped",
        }.items()
    }
    return [
        f'{name} is {suite.get(name)}, but there are {number}'
        for name, number in count.items()
        if suite.get(name) != str(number)
    ]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    schema = etree.XMLSchema(etree.parse(sys.argv[1]))
    failed = False
    for report in sys.argv[2:]:
        for problem in problems(schema, report):
            failed = True
            print(f"{report}: {problem}", file=sys.stderr)
    sys.exit(failed)


if __name__ == "__main__":
    main()
