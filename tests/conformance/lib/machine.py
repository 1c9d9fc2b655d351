"""The test machine in which the suites run, made ready by `prepare`."""
import os
import subprocess

HERE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
TREE = os.path.dirname(os.path.dirname(HERE))
VM = f'{TREE}/tests/testbed/vm'

# Of vm exec: no such machine; no connection to it (tests/testbed/README.md). Of timeout: no end.
LOST_MACHINE = (3, 255, 124, 137)


class MachineLost(Exception):
    pass


def shell(script):
    """What a function of lib/*.sh prints; they say themselves what went wrong."""
    return subprocess.run([f'{HERE}/lib/shell', script], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


class Machine:
    """One machine, brought up when it is first needed; thread-bound."""

    def __init__(self, release, keep, as_is):
        self.release, self.keep, self.as_is, self.name = release, keep, as_is, f'conformance-{release}'
        self.suites, self.is_up = [], False

    def vm(self, command, *arguments, **keywords):
        """vm COMMAND; output goes to standard error, which is for people."""
        subprocess.run([VM, command, '--name', self.name, *arguments], check=True, stdout=2, **keywords)

    def exec(self, command, seconds):
        """Its exit status and its output, both streams in one. MachineLost if it has no end in time."""
        done = subprocess.run(['timeout', '--kill-after=10', str(seconds + 60), VM, 'exec', '--name', self.name, '--',
                               'timeout', '--kill-after=20', str(seconds), *command], check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors='replace')
        if done.returncode in LOST_MACHINE and not self.answers():
            raise MachineLost(f'the test machine was lost (status {done.returncode})')
        return done.returncode, done.stdout

    def ready(self, suite):
        """Has the machine up with the suite in it, and returns the versions of what takes part."""
        if suite not in self.suites:
            self.suites.append(suite)
            if self.is_up:
                self.install(suite)
        if not self.is_up:
            self.up()
        return self.versions(suite)

    def renew(self):
        self.vm('down')
        self.as_is = False
        self.up()

    def up(self):
        runs = self.answers()
        if not runs:
            owner = [] if self.keep else ['--owner', str(os.getpid())]
            self.vm('up', '--suite', self.release, '--smp', '4,sockets=2,cores=2,threads=1', '--memory', '4096',
                    '--packages', 'docker-registry,lsof', *owner)
        if not runs or not self.as_is:
            self.prepare()
        for suite in self.suites:
            self.install(suite)
        self.is_up = True

    def prepare(self):
        self.vm('install')
        self.vm('exec', '--', 'mkdir', '-p', '/opt/conformance/bin')
        self.vm('push', shell('images_ensure'), '/opt/conformance/registry.tar')
        self.vm('push', f'{HERE}/lib/prepare', '/opt/conformance/prepare')
        self.vm('push', f'{HERE}/lib/impatient-containerd', '/opt/conformance/bin/containerd')
        self.vm('push', shell('cri_program crictl'), '/usr/local/bin/crictl')
        self.vm('exec', '--', '/opt/conformance/prepare', '/opt/conformance/registry.tar')

    def answers(self):
        return subprocess.run(['timeout', '60', VM, 'exec', '--name', self.name, '--', 'true'], check=False,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def install(self, suite):
        self.vm('push', suite.program(), f'/opt/conformance/{suite.name}')

    def versions(self, suite):
        def say(*command):
            return self.exec(command, 120)[1].strip()
        pinion = subprocess.run(['git', '-C', TREE, 'describe', '--always', '--dirty'], check=False,
                                stdout=subprocess.PIPE, text=True).stdout.strip()
        return {'runtime': suite.runtime, 'containerd': say('containerd', '--version').split()[2], 'kernel': say('uname', '-r'),
                'suite_version': suite.version(), 'pinion': pinion}

    def end(self):
        if self.is_up and not self.keep:
            self.vm('down')
