"""Processes that outlive the program that starts them, found again by their pid and start time."""

import os
import pathlib
import signal
import subprocess
import time


class Failed(Exception):
    """Something did not come up; the text says what, and where more is written."""


def begun(pid):
    """When a process began, in clock ticks since boot (proc(5), stat, field 22); None if there is none, or only its remains."""
    try:
        fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    except OSError:
        return None
    return None if fields[0] == 'Z' else fields[19]


class Processes:
    """By name, with a pid file and a log each, in a folder."""

    def __init__(self, folder, environment):
        self.pids, self.logs = folder / 'pid', folder / 'log'
        self.environment = environment
        for each in (self.pids, self.logs):
            each.mkdir(parents=True, exist_ok=True)

    def log(self, name):
        return self.logs / f'{name}.log'

    def pid(self, name):
        """Its pid, if it runs."""
        try:
            pid, ticks = (self.pids / name).read_text().split()
        except (OSError, ValueError):
            return None
        return int(pid) if begun(pid) == ticks else None

    def start(self, name, command, **variables):
        """Unless it runs already. Whether it was started."""
        if self.pid(name):
            return False
        environment = {**self.environment, **{key: str(value) for key, value in variables.items()}}
        with open(self.log(name), 'ab') as log:
            process = subprocess.Popen([str(word) for word in command], env=environment, stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=log, start_new_session=True, cwd=self.pids.parent)
        (self.pids / name).write_text(f'{process.pid} {begun(process.pid)}')
        return True

    def signal(self, name, number):
        if pid := self.pid(name):
            os.kill(pid, number)

    def stop(self, names, patience=20):
        """All at once; what does not go in time is killed, with what is left of its group."""
        pids = {name: pid for name in names if (pid := self.pid(name))}
        for pid in pids.values():
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + patience
        while any(self.pid(name) for name in pids) and time.monotonic() < deadline:
            self.reap(pids.values())
            time.sleep(0.05)
        for name, pid in pids.items():
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            (self.pids / name).unlink(missing_ok=True)
        self.reap(pids.values())

    @staticmethod
    def reap(pids):
        for pid in pids:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass  # it was started by another run of this

    def await_(self, name, condition, seconds=60):
        """Until the condition holds; the service must live."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.pid(name) is None or time.monotonic() > deadline:
                tail = '\n'.join(self.log(name).read_text(errors='replace').splitlines()[-12:])
                raise Failed(f'{name} did not come up ({self.log(name)}):\n{tail}')
            time.sleep(0.1)
