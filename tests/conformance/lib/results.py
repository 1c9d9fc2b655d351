"""What came of each test: a line for people, a line of JSON for programs, written at once."""
import json
import os
import re

HERE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def excluded(suite):
    """{test: reason} of expected.md's table `| suite | test | reason |`."""
    reasons = {}
    with open(os.path.join(HERE, 'expected.md'), encoding='utf-8') as file:
        for line in file:
            cells = [cell.strip() for cell in line.strip().strip('|').split('|')]
            if line.startswith('|') and len(cells) == 3 and cells[0] == suite:
                reasons[cells[1].strip('`')] = cells[2]
    return reasons


class Results:
    """Of one suite, on one containerd, with one runtime: results/SUITE-CONTAINERD-RUNTIME.jsonl."""

    def __init__(self, suite, arguments):
        self.suite, self.versions, self.rows = suite, {}, []
        self.path = os.path.join(HERE, 'results', f'{suite.name}-{arguments.containerd}-{arguments.runtime}.jsonl')
        if not arguments.resume and not arguments.list and os.path.exists(self.path):
            os.remove(self.path)

    def done(self, retry_failed):
        """The tests that need no run any more; the last line of a test counts."""
        last = {}
        if os.path.exists(self.path):
            with open(self.path, encoding='utf-8') as file:
                for row in map(json.loads, file):
                    last[row['test']] = row['outcome']
        return {name for name, outcome in last.items() if outcome != 'failed' or not retry_failed}

    def add(self, name, outcome, reason, seconds):
        """A skip that expected.md does not have is a failure: what a suite leaves out is not passed."""
        if outcome == 'skipped':
            outcome, reason = 'failed', f'skipped by the suite, which expected.md does not say: {reason}'
        row = {'suite': self.suite.name, 'test': name, 'outcome': outcome, 'seconds': round(seconds), 'reason': reason,
               **self.versions}
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        with open(self.path, 'a', encoding='utf-8') as file:
            file.write(json.dumps(row) + '\n')
        self.rows.append(row)
        word = {'passed': 'PASS', 'failed': 'FAIL'}[outcome]
        shown = re.sub(r'[^A-Za-z0-9.=_-]+', '-', name).strip('-')
        print(f'{word} conformance/{self.suite.name}/{shown} ({round(seconds)} s) {reason}'.rstrip(), flush=True)

    def count(self, outcome):
        return sum(row['outcome'] == outcome for row in self.rows)

    def summary(self):
        return (f'{self.suite.name}: {self.count("passed")} passed, {self.count("failed")} failed, '
                f'{len(excluded(self.suite.name))} excluded (expected.md); {self.path}')
