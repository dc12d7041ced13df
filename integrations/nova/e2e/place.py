"""A cloud with one MicroVisor host, and a namespace that its guests can be reached from."""

import base64
import contextlib
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import time

from cloud import BUILD, ROOT, Cloud
from processes import Failed

sys.path.insert(0, str(BUILD))

RELEASE = ROOT / 'target' / 'release'
IMAGES = ROOT / 'target' / 'images'
DRIVER = 'nova_microvisor.driver.MicroVisorDriver'
NAMESPACE, SUBNET = 'microvisor-nova', '10.77.0'
# An interface of the host that leads to the physical network `outside`, and its other end in the namespace.
UPLINK, OUTSIDE, OUTSIDE_SUBNET = 'mvnova-up', 'mvnova-out', '192.0.2'
PONG = (ROOT / 'bench' / 'src' / 'figures' / 'pong.click').read_text()


def run(*words, check=True, **more):
    outcome = subprocess.run([str(word) for word in words], capture_output=True, text=True, **more)
    if check and outcome.returncode:
        raise Failed(f'{" ".join(map(str, words))}: {outcome.stdout[-500:]} {outcome.stderr[-1500:]}')
    return outcome


def eventually(what, condition, seconds=60):
    """What the condition comes to, once it is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f'{what}: not within {seconds} s')
        time.sleep(0.05)
    return value


class Site:
    def __init__(self, prepared=0):
        self.cloud = Cloud()
        self.prepared = prepared
        self.folder = self.cloud.folder / 'node'
        self.socket = self.folder / 'run' / 'api.sock'

    def up(self):
        self.down_node()
        self.cloud.up()
        self.make_namespace()
        self.up_node()
        self.network('blue')
        self.compute()
        self.api = self.cloud.connect()
        self.images = {name: self.image(name, IMAGES / name) for name in ('clickos', 'redis')}
        self.flavors = {'tiny': self.flavor('tiny', {'microvisor:networks': 'blue'}), 'bare': self.flavor('bare', {})}

    def down(self):
        self.cloud.down()
        self.down_node()
        run('ip', 'netns', 'delete', NAMESPACE, check=False)
        run('ip', 'link', 'delete', UPLINK, check=False)

    # The node.

    def up_node(self):
        from nova_microvisor import client  # as installed
        self.problem = client.Problem
        self.node = client.Client(f'unix://{self.socket}')
        self.start_node()

    def start_node(self):
        self.folder.mkdir(exist_ok=True)
        self.cloud.processes.start('node', [RELEASE / 'microvisor-node', '--run', self.folder / 'run', '--state', self.folder / 'state',
                                            '--prepared', self.prepared])
        eventually('the node answers', self.answers)

    def restart_node(self, prepared):
        """The next daemon finds all again."""
        self.cloud.processes.stop(['node'])
        self.prepared = prepared
        self.start_node()
        eventually('monitors are prepared', lambda: self.node.get('/v1/status')['prepared'] == prepared)

    def answers(self):
        from nova_microvisor import client
        try:
            return self.node.get('/v1/status')
        except (client.Unreachable, client.Problem):
            return None

    def down_node(self):
        """The daemon, and what outlives it."""
        if self.cloud.processes.pid('node'):
            for instance in self.node.instances() if hasattr(self, 'node') else ():
                self.node.delete(f'/v1/instances/{instance["id"]}', force='true')
            with contextlib.suppress(AttributeError):
                switch = self.node.get('/v1/status').get('switch')
            self.cloud.processes.stop(['node'])
            with contextlib.suppress(UnboundLocalError, TypeError, ProcessLookupError):
                run('kill', switch, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill_node(self):
        self.cloud.processes.signal('node', signal.SIGKILL)
        eventually('the node is gone', lambda: self.gone('node'))

    def gone(self, name):
        pid = self.cloud.processes.pid(name)
        if pid:
            self.cloud.processes.reap([pid])
        return not self.cloud.processes.pid(name)

    def network(self, name):
        self.node.post('/v1/networks', {'name': name, 'subnet': f'{SUBNET}.0/24',
                                        'host': {'tap': f'mv-{name}', 'netns': NAMESPACE, 'address': f'{SUBNET}.1/24'}})

    def make_namespace(self):
        run('ip', 'netns', 'delete', NAMESPACE, check=False)
        run('ip', 'link', 'delete', UPLINK, check=False)
        run('ip', 'netns', 'add', NAMESPACE)
        run('ip', 'link', 'add', UPLINK, 'type', 'veth', 'peer', 'name', OUTSIDE, 'netns', NAMESPACE)
        run('ip', 'link', 'set', UPLINK, 'up')
        run('ip', '-n', NAMESPACE, 'link', 'set', 'lo', 'up')
        run('ip', '-n', NAMESPACE, 'address', 'add', f'{OUTSIDE_SUBNET}.1/24', 'dev', OUTSIDE)
        run('ip', '-n', NAMESPACE, 'link', 'set', OUTSIDE, 'up')

    # nova-compute.

    def compute(self, driver=None, **more):
        driver = driver or DRIVER
        settings = {'microvisor': {'node': f'unix://{self.socket}', 'repeat_s': 10, 'physical_networks': f'outside:{UPLINK}'}}
        self.cloud.compute(driver, settings if driver == DRIVER else {}, **more)

    def kill_compute(self):
        self.cloud.processes.signal('nova-compute', signal.SIGKILL)
        eventually('nova-compute is gone', lambda: self.gone('nova-compute'))

    # The cloud's API, and its command.

    def openstack(self, *words, check=True):
        """The `openstack` command; its JSON, if it says some."""
        environment = {'PATH': '/usr/bin:/bin', 'LANG': 'C.UTF-8', **self.cloud.variables()}
        outcome = run('openstack', *words, check=check, env=environment)
        with contextlib.suppress(ValueError):
            return json.loads(outcome.stdout)
        return outcome.stdout

    def image(self, name, path, **properties):
        found = self.api.image.find_image(name)
        return found or self.api.image.create_image(name=name, filename=str(path), disk_format='raw', container_format='bare',
                                                    visibility='public', wait=True, **properties)

    def flavor(self, name, specs, ram=32, vcpus=1):
        if found := self.api.compute.find_flavor(name):
            self.api.compute.delete_flavor(found)
        made = self.api.compute.create_flavor(name=name, vcpus=vcpus, ram=ram, disk=0)
        if specs:
            self.api.compute.create_flavor_extra_specs(made, specs)
        return made

    def create(self, name='server', image='clickos', flavor='tiny', config=PONG, networks='none', **more):
        """Asks for a server. Its id, and the request's."""
        body = {'name': name, 'imageRef': self.images[image].id, 'flavorRef': self.flavors[flavor].id, 'networks': networks, **more}
        if config is not None:
            body['user_data'] = base64.b64encode(config.encode()).decode()
        answer = self.api.compute.post('/servers', json={'server': body}, microversion='2.90')
        if answer.status_code != 202:
            raise Failed(answer.text)
        server = answer.json()['server']['id'] if 'server' in answer.json() else None
        return server, answer.headers['X-Openstack-Request-Id']

    def server(self, uuid):
        answer = self.api.compute.get(f'/servers/{uuid}', microversion='2.90')
        return answer.json()['server'] if answer.status_code == 200 else None

    def becomes(self, uuid, *statuses, seconds=60):
        def settled():
            server = self.server(uuid)
            done = server and server['status'] in statuses and server['OS-EXT-STS:task_state'] is None
            return server if done else None
        return eventually(f'{uuid} is {" or ".join(statuses)}', settled, seconds)

    def active(self, **more):
        uuid, _ = self.create(**more)
        server = self.becomes(uuid, 'ACTIVE', 'ERROR')
        if server['status'] == 'ERROR':
            raise AssertionError(server.get('fault', {}).get('message'))
        return uuid

    def delete(self, *uuids):
        for uuid in uuids:
            self.api.compute.delete(f'/servers/{uuid}')
        for uuid in uuids:
            eventually(f'{uuid} is gone', lambda: self.server(uuid) is None)

    def instance(self, uuid):
        """As the node has it."""
        try:
            return self.node.get(f'/v1/instances/{uuid}')
        except self.problem as e:
            if e.kind == 'absent':
                return None
            raise

    def address(self, uuid, device=0):
        return self.instance(uuid)['devices'][device]['address']

    def answers_ping(self, address):
        return run('ip', 'netns', 'exec', NAMESPACE, 'ping', '-c1', '-W2', address, check=False).returncode == 0

    def microvisor(self, *words):
        return run(RELEASE / 'microvisor', *words, env={'MICROVISOR_NODE': str(self.socket), 'PATH': '/usr/bin:/bin'}).stdout
