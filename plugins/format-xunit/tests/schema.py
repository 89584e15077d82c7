#!/usr/bin/env python3
"""Checks a results.xml against a schema of JUnit's reports.

    schema.py SCHEMA REPORT...

SCHEMA is junit-10.xsd of https://github.com/jenkinsci/xunit-plugin (MIT), there in
src/main/resources/org/jenkinsci/plugins/xunit/types/model/xsd/, or selftests/.data/jenkins-junit.xsd of Avocado. They are
not kept here: schema.sh, beside this file, gets them and lxml, which this needs, and runs this on the reports of real jobs.
Beside the schema, the totals in the first tag must be those of the test cases.
"""

import sys

from lxml import etree


def problems(schema, report):
    """What is wrong with a report, as lines of text."""
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
        f'{name} is {suite.get(name)}, and there are {number}'
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
