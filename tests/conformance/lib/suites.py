"""The suites: which tests they have, how one of them is run, and what its output says."""
import json
import os
import re
import subprocess
import tempfile

from machine import MachineLost, shell

HERE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
ENDPOINT = '/run/containerd/containerd.sock'
SECONDS = int(os.environ.get('PINION_CONFORMANCE_TIMEOUT', '420'))


def lines(name):
    with open(os.path.join(HERE, 'suites', name), encoding='utf-8') as file:
        return [line.strip() for line in file if line.strip() and not line.startswith('#')]


def last_words(output, *patterns):
    """The lines that say why, those of the first pattern first, or else the last ones."""
    # Ginkgo writes an S for each spec that it leaves out, and no newline.
    output = [re.sub(r'^S+(?=[EIW][0-9]{4} )', '', line).strip() for line in output.strip().splitlines()]
    told = list(dict.fromkeys(line for pattern in patterns for line in output if re.search(pattern, line)))
    return ' / '.join(told or output[-3:])[:600]


class Suite:
    """What all have in common; a suite is run by name, one test at a time."""
    name, cleaning = '', 'true'

    def __init__(self, runtime):
        self.runtime = runtime

    def clean(self, machine):
        """Takes away what a test left that failed or was broken off: the next one would trip over it."""
        try:
            machine.exec(['/bin/sh', '-c', self.cleaning], 300)
        except MachineLost:
            pass  # the next test finds it so, and begins anew in a fresh one

    def short(self):
        prefix = f'{self.name}/'
        return {line.removeprefix(prefix) for line in lines('short') if line.startswith(prefix)}


class Critest(Suite):
    name = 'critest'
    cleaning = 'command -v crictl >/dev/null && crictl rmp -a -f'

    def __init__(self, runtime):
        super().__init__(runtime)
        self.path = shell('cri_program critest')
        self.specs = []

    def program(self):
        return self.path

    def version(self):
        return subprocess.run([self.path, '-version'], check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True).stdout.split('\n')[0].split()[-1]

    def tests(self):
        if not self.specs:
            with tempfile.NamedTemporaryFile(suffix='.json') as report:
                subprocess.run([self.path, '-ginkgo.dry-run', f'-ginkgo.json-report={report.name}'], check=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                specs = json.load(report)[0]['SpecReports']
            # Benchmarks are specs that the suite itself leaves out.
            self.specs = sorted(' '.join([*spec['ContainerHierarchyTexts'], spec['LeafNodeText']]).removeprefix('[k8s.io] ')
                                for spec in specs if spec['LeafNodeType'] == 'It' and spec['State'] != 'skipped')
        return self.specs

    def run(self, machine, name):
        command = ['/opt/conformance/critest', f'-runtime-endpoint=unix://{ENDPOINT}', f'-image-endpoint=unix://{ENDPOINT}',
                   f'-runtime-handler={self.runtime}', '-ginkgo.no-color',
                   f'-ginkgo.focus= \\[k8s.io\\] {re.escape(name)}$']
        status, output = machine.exec(command, SECONDS)
        if status == 0 and re.search(r'-- 1 Passed', output):
            return 'passed', ''
        if status == 0:
            told = re.findall(r'^\s*\[SKIPPED\] (?!in )(.*)', output, re.MULTILINE)
            return 'skipped', ' / '.join(told) or 'the suite leaves it out on this machine'
        if status in (124, 137):
            return 'failed', f'no end after {SECONDS} s: ' + ' / '.join(output.strip().splitlines()[-3:])[:600]
        return 'failed', last_words(output, r'\[FAILED\] (?!\[|in )', r'[Uu]nexpected error|code = ')


class Client(Suite):
    """containerd's integration/client; only the tests that a shim has a part in (suites/client)."""
    name = 'client'
    # Names are the tests'; a committed snapshot is a layer of the image.
    cleaning = """
        for id in $(ctr -n testing container ls -q); do
          ctr -n testing task rm -f "$id"
          ctr -n testing container rm "$id"
        done
        for key in $(ctr -n testing snapshot ls | awk '$3 == "Active" {print $1}'); do
          ctr -n testing snapshot rm "$key"
        done
        pkill -f "^containerd-shim.* -address /run/containerd-test/" # of a test that was broken off with its containerd
        true"""

    def program(self):
        return shell('client_suite_ensure')

    def version(self):
        return shell('echo "$client_suite"')

    def tests(self):
        return [line.split()[0] for line in lines('client')]

    def run(self, machine, name):
        runtime = {'pinion': 'io.containerd.pinion.v2', 'runc': 'io.containerd.runc.v2'}[self.runtime]
        own = f'{name} own' in lines('client')
        seconds = SECONDS * (6 if f'{name} long' in lines('client') else 1)
        # RUNC_FLAVOR says that there is no runc beneath, which some tests would look for.
        command = ['env', f'TEST_RUNTIME={runtime}', 'TEST_SNAPSHOTTER=overlayfs', 'RUNC_FLAVOR=vm',
                   'PATH=/opt/conformance/bin:/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin',
                   '/opt/conformance/client', '-test.v', '-test.root', '-no-criu', '-test.parallel=1', f'-test.run=^{name}$']
        command += [] if own else ['-no-daemon', f'-address={ENDPOINT}']
        status, output = machine.exec(command, seconds)
        if status == 0 and re.search(f'^--- PASS: {name} ', output, re.MULTILINE):
            return 'passed', ''
        if status == 0 and re.search(f'^--- SKIP: {name} ', output, re.MULTILINE):
            return 'skipped', last_words(output, r'_test\.go:\d+: ')
        if status in (124, 137):
            return 'failed', f'no end after {seconds} s: ' + ' / '.join(output.strip().splitlines()[-3:])[:600]
        return 'failed', last_words(output, r'_test\.go:\d+: (?!time=)|panic:|^\s*Error')


SUITES = {kind.name: kind for kind in (Critest, Client)}
