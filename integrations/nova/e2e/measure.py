#!/usr/bin/python3
"""Where the time of instantiations through Nova goes: for figures 12, 14 and 15.

usage: measure.py [--servers N] FILE      N servers of each kind (default 30), in turns of ten, to FILE: microvisor-bench fig14 --timelines FILE
       measure.py --knobs [--servers N]   what each setting gains alone, N servers with each (default 15)

Kinds: Nova as it is configured for the tests; tuned, with the knobs of cloud.py (but with notifications) and prepared guests; and
Nova with its own fake driver, which starts nothing. The first servers after each change are not counted.
"""

import argparse
import json
import re
import statistics
import sys
import threading
import time

from cloud import KNOBS
from place import Site, eventually

STOCK, TUNED, FAKE = 'Nova', 'Nova, tuned', 'Nova with its fake driver'
# The phases come from notifications.
TURNED = tuple(name for name in KNOBS if name != 'no-notifications')
WARM_UP = 3
TURN = 10
PREPARED = 4


class Meter:
    def __init__(self, site):
        self.site = site
        self.ended = {}
        self.news = threading.Condition()

    def listen(self):
        from nova import config
        from nova_microvisor import phases, timeline
        self.phases = phases
        config.parse_args(['measure', '--config-file', str(self.site.cloud.etc / 'nova.conf')], configure_db=False)
        self.server = timeline.listener(timeline.Collector(self.done), pool='measure')
        self.server.start()

    def close(self):
        self.server.stop()
        self.server.wait()

    def done(self, uuid, host, moments):
        with self.news:
            self.ended[uuid] = moments
            self.news.notify_all()

    def one(self, real):
        """One server. Its timeline, from the client's POST."""
        asked = time.time_ns()
        uuid, request = self.site.create(flavor='tiny')
        with self.news:
            if not self.news.wait_for(lambda: uuid in self.ended, 60):
                raise AssertionError(f'{uuid}: {self.site.server(uuid)}')
            moments = self.ended.pop(uuid)
        if real:
            timeline = eventually('the phases of Nova are there', lambda: self.timeline(uuid), 10)
            known = next(p['start_unix_ns'] for p in timeline['external'] if p['name'] == 'api')
            timeline['external'].append(self.phases.external('keystone', asked, known))
        else:
            external = self.phases.phases({**moments, 'request': asked})
            timeline = {'instance': uuid, 'name': uuid, 'request': request, 'begun_unix_ns': asked, 'external': external,
                        'timeline': {'origin': 0, 'tsc_hz': 10**9, 'spans': []}}
        timeline['external'] += self.placement(request)
        self.site.delete(uuid)
        return timeline

    def timeline(self, uuid):
        found = self.site.node.get(f'/v1/instances/{uuid}/timeline')
        return found if any(p['name'] == 'finish' for p in found.get('external', [])) else None

    def placement(self, request):
        """What Placement did for the scheduler, by its log: when it answered, and uWSGI's word of how long it took."""
        found, waiting = [], {}
        calls = {'GET /allocation_candidates': 'candidates', 'PUT /allocations/': 'claim'}
        with open(self.site.cloud.processes.log('placement')) as log:
            log.seek(max(0, log.seek(0, 2) - 200_000))
            for line in log:
                if match := re.match(r'(\S+ \S+) (\d+) INFO placement.requestlog \[(\S+) .*"(\w+ \S+)"', line):
                    when, pid, whose, call = match.groups()
                    name = next((name for start, name in calls.items() if call.startswith(start)), None)
                    if whose == request and name:
                        waiting[pid] = (name, self.phases.nanoseconds(when.replace(' ', 'T') + '000'))
                elif (match := re.match(r'\[pid: (\d+)\|.* in (\d+) msecs', line)) and match[1] in waiting:
                    name, end = waiting.pop(match[1])
                    found.append(self.phases.external(f'placement: {name}', end - int(match[2]) * 10**6, end))
        return found


def total(timeline):
    """Milliseconds from the client's POST to the end of Nova's work."""
    external = timeline['external']
    return (max(p['end_unix_ns'] for p in external) - min(p['start_unix_ns'] for p in external)) / 1e6


def turn(site, meter, kind, count):
    site.cloud.turn(TURNED if kind == TUNED else ())
    prepared = PREPARED if kind == TUNED else 0
    if prepared != site.prepared:
        site.restart_node(prepared)
    site.compute('fake.FakeDriver' if kind == FAKE else None)
    for _ in range(WARM_UP):
        meter.one(kind != FAKE)
    return [meter.one(kind != FAKE) for _ in range(count)]


def ready(site):
    """One server, by what the node and the driver say alone: milliseconds from the POST to ready, and the driver's phases."""
    asked = time.time_ns()
    uuid, _ = site.create(flavor='tiny')

    def timeline():
        instance = site.instance(uuid)
        if not instance or instance['state'] != 'ready':
            return None
        found = site.node.get(f'/v1/instances/{uuid}/timeline')
        return found if any(p['name'] == 'driver' for p in found.get('external', [])) else None
    found = eventually(f'{uuid} is ready: {site.server(uuid)}', timeline)
    times = {p['name']: (p['end_unix_ns'] - p['start_unix_ns']) / 1e6 for p in found['external']}
    times['total'] = (found['begun_unix_ns'] + site.instance(uuid)['ready_ns'] - asked) / 1e6
    site.becomes(uuid, 'ACTIVE')
    site.delete(uuid)
    return times


def knobs(site, servers):
    def case(label, names=(), prepared=0, cached=True):
        site.cloud.turn(names)
        if prepared != site.prepared:
            site.restart_node(prepared)
        site.compute()
        found = []
        for _ in range(WARM_UP + servers):
            if not cached:
                site.node.delete(f'/v1/images/glance-{site.images["clickos"].id}')
            found.append(ready(site))
        found = found[WARM_UP:]
        times = sorted(times['total'] for times in found)
        phases = '  '.join(f'{name} {statistics.median(times[name] for times in found):6.1f}' for name in ('glance', 'driver'))
        print(f'{label:20} {statistics.median(times):6.0f} ms, {times[0]:4.0f} to {times[-1]:4.0f}   of it {phases}', flush=True)

    case('none')
    case('without the image', cached=False)
    case('prepared guests', prepared=PREPARED)
    for name in KNOBS:
        case(name, (name,))
    case('all', tuple(KNOBS), PREPARED)
    case('none, again')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('file', nargs='?')
    parser.add_argument('--servers', type=int)
    parser.add_argument('--knobs', action='store_true')
    asked = parser.parse_args()
    if bool(asked.file) == asked.knobs:
        parser.error('either FILE or --knobs')
    site = Site()
    try:
        site.up()
        if asked.knobs:
            knobs(site, asked.servers or 15)
        else:
            meter = Meter(site)
            meter.listen()
            left = asked.servers or 30
            found = {kind: [] for kind in (STOCK, TUNED, FAKE)}
            while left > 0:
                for kind, timelines in found.items():
                    print(f'{kind}: {len(timelines)} of {asked.servers or 30}', file=sys.stderr, flush=True)
                    timelines += turn(site, meter, kind, min(left, TURN))
                left -= TURN
            for kind, timelines in found.items():
                print(f'{kind:30} median {statistics.median(map(total, timelines)):.0f} ms of {len(timelines)}')
            with open(asked.file, 'w') as file:
                json.dump(found, file)
            meter.close()
    finally:
        site.down()


if __name__ == '__main__':
    main()
