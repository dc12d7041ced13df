#!/usr/bin/python3
"""Where the time of instantiations through Nomad goes: for figures 13, 16 and 17.

usage: measure.py [--tasks N] FILE       N tasks of each kind (default 30), in turns of ten, to FILE: microvisor-bench fig16 --timelines FILE
       measure.py --knobs [--tasks N]    what each setting gains alone, N tasks with each (default 10)
       measure.py --native [--tasks N]   in bridge mode: the first connection to a guest, and to a native process (default 10)

Kinds: Nomad as it comes; tuned (see KNOBS); and Nomad's own mock driver, which starts nothing. A client pings the guest's address
already, so that the first packet is there when the guest is. The first tasks of each turn are not counted.
"""

import argparse
import contextlib
import functools
import http.server
import json
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time

from place import ADDRESS, CLIENT, IMAGES, NETWORK, PONG, RELEASE, SERVER, SUBNET, Place, eventually

STOCK, TUNED, MOCK = 'Nomad', 'Nomad, tuned', "Nomad with its mock driver"
GUEST, MAC = f'{SUBNET}.200', '02:00:00:00:02:00'
WARM_UP = 2
TURN = 10
PREPARED = 4
PORT = 7979
# Guests of the job that is updated.
FLEET = 4
# Connections that are tried at the same time.
MOST = 500


class Meter:
    """The collector of timelines, which prints what it finds."""

    def __init__(self, place):
        self.place = place
        self.found = {}
        self.news = threading.Condition()
        words = [RELEASE / 'nomad-driver-microvisor', 'timeline', '--nomad', CLIENT, '--server', SERVER, '--node', place.socket, '--print']
        self.process = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()
        time.sleep(1)

    def read(self):
        for line in self.process.stdout:
            with self.news:
                found = json.loads(line)
                self.found[found['alloc']] = found['phases']
                self.news.notify_all()

    def phases(self, allocation):
        with self.news:
            if not self.news.wait_for(lambda: allocation in self.found, 30):
                raise AssertionError(f'{allocation}: no phases')
            return self.found.pop(allocation)

    def close(self):
        self.process.terminate()
        self.process.wait()


@contextlib.contextmanager
def pings():
    """A client that asks already, and knows the guest's link-layer address."""
    subprocess.run(['ip', 'neigh', 'replace', GUEST, 'lladdr', MAC, 'dev', f'mv-{NETWORK}', 'nud', 'permanent'], check=True)
    process = subprocess.Popen(['ping', '-n', '-q', '-i', '0.002', GUEST], stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def job(place, kind, number, more):
    """Another job each time: a job that is registered again is an update."""
    if kind == MOCK:
        task = place.task(driver='mock_driver', own={'run_for': '1h'})
    else:
        own = {'network': [{'name': NETWORK, 'address': GUEST, 'mac': MAC}]}
        if kind != TUNED:
            own['prepared'] = False
        task = place.task(PONG, **{**more, 'own': own | more.get('own', {})})
    return place.job(f'measured-{number}', task)


class Tasks:
    def __init__(self, place, meter):
        self.place, self.meter = place, meter
        self.number = 0
        self.more = {}

    def one(self, kind):
        """One task. Its timeline, from the job's registration to the first packet."""
        self.number += 1
        name = f'measured-{self.number}'
        if kind == TUNED:
            eventually('monitors are prepared', self.place.has_prepared)
        began = time.time_ns()
        evaluation = self.place.register(job(self.place, kind, self.number, self.more))['EvalID']
        allocation = eventually(f'{name} has an allocation', lambda: self.place.allocations(name))[0]['ID']
        phases = self.meter.phases(allocation)
        if kind == MOCK:
            timeline = {'instance': allocation, 'name': name, 'request': evaluation, 'begun_unix_ns': began,
                        'timeline': {'origin': 0, 'tsc_hz': 10**9, 'spans': []}, 'external': phases}
        else:
            timeline = eventually('the first packet was answered', lambda: self.timeline(allocation), 10)
        self.place.stop(name)
        eventually('it is gone', lambda: not self.place.instances())
        return timeline

    def timeline(self, allocation):
        found = self.place.node('GET', f'/v1/instances/task-{allocation}/timeline')
        spans = {span['phase'] for span in found['timeline']['spans']}
        # The driver adds its phases when it has answered.
        told = {phase['name'] for phase in found.get('external', ())}
        return found if {'driver', 'driver: node'} <= told and 'first-packet' in spans else None

    def turn(self, kind, count):
        for _ in range(WARM_UP):
            self.one(kind)
        return [self.one(kind) for _ in range(count)]


def begun(timeline):
    return min(phase['start_unix_ns'] for phase in timeline['external'])


def started(timeline):
    """Milliseconds from the job's registration until Nomad said that the task had started."""
    return (next(p['end_unix_ns'] for p in timeline['external'] if p['name'] == 'driver') - begun(timeline)) / 1e6


def first_packet(timeline):
    """Milliseconds from the job's registration to the first packet."""
    span = next(span for span in timeline['timeline']['spans'] if span['phase'] == 'first-packet')
    return (timeline['begun_unix_ns'] + span['end_ns'] - begun(timeline)) / 1e6


def phase(timeline, name):
    """How long one of Nomad's phases took, milliseconds."""
    found = next(p for p in timeline['external'] if p['name'] == name)
    return (found['end_unix_ns'] - found['start_unix_ns']) / 1e6


def added(timeline):
    """Milliseconds of StartTask in the driver that are not the node's."""
    return phase(timeline, 'driver: start task') - phase(timeline, 'driver: node')


def line(label, values):
    values = sorted(values)
    return f'{label:44} median {statistics.median(values):7.1f} ms, {values[0]:7.1f} to {values[-1]:7.1f}, of {len(values)}'


def report(found):
    stock, tuned, mock = found[STOCK], found[TUNED], found[MOCK]
    base = statistics.median(map(started, mock))
    print(line('mock driver: registration to Started', map(started, mock)))
    for name, timelines in ((STOCK, stock), (TUNED, tuned)):
        print(line(f'{name}: registration to Started', map(started, timelines)))
        print(line(f'{name}: registration to first packet', map(first_packet, timelines)))
        print(line(f'{name}: StartTask, without the node', map(added, timelines)))
        print(line(f'{name}: the node, asked until it answers', (phase(t, 'driver: node') for t in timelines)))
        print(f'{"":44} first packet after the mock driver\'s Started: {statistics.median(map(first_packet, timelines)) - base:.1f} ms')


def figures(place, file, count):
    meter = Meter(place)
    tasks = Tasks(place, meter)
    found = {kind: [] for kind in (STOCK, TUNED, MOCK)}
    with pings():
        while len(found[STOCK]) < count:
            for kind, timelines in found.items():
                print(f'{kind}: {len(timelines)} of {count}', file=sys.stderr, flush=True)
                timelines += tasks.turn(kind, min(count - len(timelines), TURN))
    meter.close()
    with open(file, 'w') as out:
        json.dump(found, out)
    report(found)


def knobs(place, count):
    """Each alone; the image that comes with every allocation last."""
    folder = place.folder / 'served'
    folder.mkdir()
    (folder / 'clickos').write_bytes((IMAGES / 'clickos').read_bytes())
    handler = functools.partial(Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer((ADDRESS, 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    artifact = {'GetterSource': f'http://{ADDRESS}:{server.server_port}/clickos', 'RelativeDest': 'local/image', 'GetterMode': 'file'}
    meter = Meter(place)
    tasks = Tasks(place, meter)
    with pings():
        for label, kind, more in (
                ('none', STOCK, {}),
                ('prepared guests', TUNED, {}),
                ('no log collection', STOCK, {'LogConfig': {'Disabled': True, 'MaxFiles': 2, 'MaxFileSizeMB': 2}}),
                ('image as an artifact of each allocation', STOCK, {'Artifacts': [artifact], 'own': {'image': 'local/image'}}),
                ('none, again', STOCK, {})):
            tasks.more = more
            print(line(label, map(first_packet, tasks.turn(kind, count))), flush=True)
    meter.close()
    server.shutdown()
    for parallel in (1, FLEET):
        took = [update(place, parallel, turn) for turn in range(-(-count // 3))]
        print(line(f'update of {FLEET} guests, max_parallel = {parallel}', took), flush=True)


def update(place, parallel, turn):
    """Milliseconds from an update's registration until all guests of a job run the new version and Nomad takes them for healthy."""
    name = f'fleet-{parallel}-{turn}'
    healthy = {'MaxParallel': parallel, 'HealthCheck': 'task_states', 'MinHealthyTime': 10**8, 'HealthyDeadline': 60 * 10**9,
               'ProgressDeadline': 120 * 10**9}

    def version(number):
        task = place.task(PONG, Meta={'version': str(number)}, Env={'VERSION': str(number)})
        return place.job(name, task, count=FLEET, group={'Update': healthy})

    def deployed(number):
        found = place.nomad('GET', f'/v1/job/{name}/deployment')
        return found and found['JobVersion'] == number and found['Status'] == 'successful'
    place.register(version(0))
    eventually('the first version runs', lambda: deployed(0), 60)
    began = time.time_ns()
    place.register(version(1))
    eventually('the second version runs', lambda: deployed(1), 120)
    took = (time.time_ns() - began) / 1e6
    place.stop(name)
    eventually('it is gone', lambda: not place.instances())
    return took


def connected(port, seconds=20):
    """Nanoseconds since 1970 of the first answer to a client that tries to connect every two milliseconds: as long as nobody has the
    address, nothing comes back, and a single try would wait for a second."""
    deadline = time.monotonic() + seconds
    following = 0
    tries = selectors.DefaultSelector()
    try:
        while time.monotonic() < deadline:
            for key, events in tries.select(0.002):
                stream = key.fileobj
                try:
                    if events & selectors.EVENT_WRITE:
                        stream.sendall(b'PING\r\n')
                        tries.modify(stream, selectors.EVENT_READ)
                    elif stream.recv(1):
                        return time.time_ns()
                    else:
                        raise ConnectionResetError
                except OSError:
                    tries.unregister(stream)
                    stream.close()
            if time.monotonic() < following or len(tries.get_map()) > MOST:
                continue
            following = time.monotonic() + 0.002
            stream = socket.socket()
            stream.setblocking(False)
            stream.connect_ex((ADDRESS, port))
            tries.register(stream, selectors.EVENT_WRITE)
    finally:
        for key in list((tries.get_map() or {}).values()):
            key.fileobj.close()
        tries.close()
    raise AssertionError('nobody answers')


def native(place, count):
    """A guest that speaks Redis's protocol, and a native server of it, both behind a published port."""
    def bridged(name, task):
        network = {'Mode': 'bridge', 'ReservedPorts': [{'Label': 'port', 'Value': PORT, 'To': 6379}]}
        return place.job(name, task, group={'Networks': [network]})
    guest = place.task(None, own={'image': 'redis'})
    server = place.task(driver='raw_exec', own={'command': '/usr/bin/redis-server', 'args': ['--port', '6379', '--protected-mode', 'no', '--save', '']})
    found = {'guest': [], 'native process': []}
    for number in range(WARM_UP + count):
        for (name, times), task in zip(found.items(), (guest, server)):
            label = f'{name.split()[0]}-{number}'
            began = time.time_ns()
            place.register(bridged(label, task))
            took = (connected(PORT) - began) / 1e6
            if number >= WARM_UP:
                times.append(took)
            place.stop(label)
            eventually('it has ended', lambda: all(a['ClientStatus'] in ('complete', 'failed') for a in place.nomad('GET', '/v1/allocations') or ()))
    for name, times in found.items():
        print(line(f'bridge mode, registration to first answer, {name}', times))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('file', nargs='?')
    parser.add_argument('--tasks', type=int)
    parser.add_argument('--knobs', action='store_true')
    parser.add_argument('--native', action='store_true')
    asked = parser.parse_args()
    if bool(asked.file) + asked.knobs + asked.native != 1:
        parser.error('one of FILE, --knobs and --native')
    place = Place(prepared=PREPARED)
    try:
        place.up()
        if asked.knobs:
            knobs(place, asked.tasks or 10)
        elif asked.native:
            native(place, asked.tasks or 10)
        else:
            figures(place, asked.file, asked.tasks or 30)
    finally:
        place.down()


if __name__ == '__main__':
    main()
