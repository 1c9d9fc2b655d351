"""What came of each test: a line for people, a line of JSON for programs, written at once."""
import json
import os
import re

HERE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def excluded(suite, release):
    """{test: reason} of expected.md's table `| suite | test | reason |`, where SUITE/RELEASE is of one release alone."""
    reasons = {}
    with open(os.path.join(HERE, 'expected.md'), encoding='utf-8') as file:
        for line in file:
            cells = [cell.strip() for cell in line.strip().strip('|').split('|')]
            if line.startswith('|') and len(cells) == 3 and cells[0] in (suite, f'{suite}/{release}'):
                reasons[cells[1].strip('`')] = cells[2]
    return reasons


class Results:
    """Of one suite, on one containerd, with one runtime: results/SUITE-CONTAINERD-RUNTIME.jsonl."""

    def __init__(self, suite, arguments):
        self.suite, self.release, self.versions, self.failures = suite, arguments.containerd, {}, 0
        self.path = os.path.join(HERE, 'results', f'{suite.name}-{arguments.containerd}-{arguments.runtime}.jsonl')
        keep = arguments.resume or arguments.filter or arguments.list or arguments.summary
        if not keep and os.path.exists(self.path):
            os.remove(self.path)

    def last(self):
        """{test: row}; the last line of a test counts."""
        if not os.path.exists(self.path):
            return {}
        with open(self.path, encoding='utf-8') as file:
            return {row['test']: row for row in map(json.loads, file)}

    def done(self, retry_failed):
        """The tests that need no run any more."""
        return {name for name, row in self.last().items() if row['outcome'] != 'failed' or not retry_failed}

    def add(self, name, outcome, reason, seconds):
        """A skip that expected.md does not have is a failure: what a suite leaves out is not passed."""
        if outcome == 'skipped':
            outcome, reason = 'failed', f'skipped by the suite, which expected.md does not say: {reason}'
        row = {'suite': self.suite.name, 'test': name, 'outcome': outcome, 'seconds': round(seconds), 'reason': reason,
               **self.versions}
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        with open(self.path, 'a', encoding='utf-8') as file:
            file.write(json.dumps(row) + '\n')
        self.failures += outcome == 'failed'
        word = {'passed': 'PASS', 'failed': 'FAIL'}[outcome]
        shown = re.sub(r'[^A-Za-z0-9.=_-]+', '-', name).strip('-')
        print(f'{word} conformance/{self.suite.name}/{shown} ({round(seconds)} s) {reason}'.rstrip(), flush=True)

    def summary(self):
        """Of the whole file, however many runs it took: the figures, what failed and what is still to be run."""
        rows, reasons = self.last(), excluded(self.suite.name, self.release)
        rows = {name: row for name, row in rows.items() if name not in reasons}
        failed = [name for name, row in rows.items() if row['outcome'] == 'failed']
        missing = [name for name in self.suite.tests() if name not in rows and name not in reasons]
        versions = sorted({row['containerd'] for row in rows.values()})
        text = (f'{self.suite.name} {self.suite.version()}, {self.suite.runtime} on containerd {", ".join(versions)}: '
                f'{len(rows) - len(failed)} passed, {len(failed)} failed, {len(reasons)} excluded (expected.md), '
                f'{len(missing)} not run')
        return '\n'.join([text, *(f'  failed: {name}: {rows[name]["reason"]}' for name in failed),
                          *(f'  not run: {name}' for name in missing)])
