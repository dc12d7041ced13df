#!/usr/bin/python3
"""A real OpenStack on one machine: Debian's Keystone, Placement, Glance, Neutron (its server) and Nova on MariaDB and RabbitMQ,
as plain processes on 127.0.0.1. For tests and measurements of the driver.

usage: cloud.py up | down | env | status
  up      installs what is missing (as root), prepares, starts all but nova-compute; may be repeated
  down    stops what was started; data stays in the folder
  env     prints what the `openstack` command needs:  eval "$(integrations/nova/e2e/cloud.py env)"
  status  prints what runs; exit status 1 if something does not

Everything is in $NOVA_E2E (default /var/tmp/microvisor-nova): configuration in etc, logs in log.
"""

import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import sys
import time

from processes import Failed, Processes

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = HERE.parent
ROOT = PACKAGE.parent.parent
BUILD = ROOT / 'target' / 'nova-microvisor'
PORTS = {name: 26000 + n for n, name in enumerate(
    ('keystone', 'placement', 'glance', 'nova', 'neutron', 'mariadb', 'rabbitmq', 'epmd', 'erlang', 'memcached'))}
HOST = 'microvisor-host'
REGION = 'RegionOne'

# Libraries and engines are installed. Packages with services are only unpacked: installed, they would make users and units.
INSTALLED = """python3-keystone python3-placement python3-glance python3-neutron python3-nova python3-openstackclient
    python3-osc-placement memcached python3-memcache uwsgi-plugin-python3 mariadb-server-core mariadb-client-core erlang-base erlang-crypto erlang-eldap
    erlang-inets erlang-mnesia erlang-os-mon erlang-parsetools erlang-public-key erlang-runtime-tools erlang-ssl
    erlang-syntax-tools erlang-tools erlang-xmerl python3-oslotest python3-wsgi-intercept""".split()
UNPACKED = """rabbitmq-server glance-common glance-api neutron-common nova-common nova-api nova-conductor nova-scheduler
    nova-compute""".split()
SERVICES = 'keystone placement glance neutron nova-conductor nova-scheduler nova-api'.split()
ENGINES = 'mariadb epmd rabbitmq memcached'.split()
NOVA = 'nova-conductor nova-scheduler nova-api'.split()
# Settings that make instantiations quicker; what each gains: measure.py --knobs.
KNOBS = {
    'token-cache': {'keystone_authtoken': {'memcached_servers': f'127.0.0.1:{PORTS["memcached"]}'}},
    'quota': {'quota': {'driver': 'nova.quota.NoopQuotaDriver'}},
    'filters': {'filter_scheduler': {'enabled_filters': 'ComputeFilter', 'track_instance_changes': 'false'}},
    'no-notifications': {'notifications': {'notification_format': 'unversioned'}, 'oslo_messaging_notifications': {'driver': 'noop'}},
}
DATABASES = 'keystone placement glance neutron nova nova_api nova_cell0'.split()


def say(text):
    print(text, file=sys.stderr, flush=True)


def listens(service):
    try:
        socket.create_connection(('127.0.0.1', PORTS[service]), timeout=1).close()
        return True
    except OSError:
        return False


def url(service):
    return f'http://127.0.0.1:{PORTS[service]}'


def ini(sections):
    lines = []
    for name, values in sections.items():
        lines += [f'[{name}]'] + [f'{key} = {value}' for key, value in values.items()]
    return '\n'.join(lines) + '\n'


class Cloud:
    def __init__(self):
        self.folder = pathlib.Path(os.environ.get('NOVA_E2E', '/var/tmp/microvisor-nova'))
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.etc, self.done, self.unpacked = (self.folder / name for name in ('etc', 'done', 'packages'))
        for each in (self.etc, self.done):
            each.mkdir(exist_ok=True)
        secret = self.folder / 'secret'
        if not secret.exists():
            secret.write_text(secrets.token_hex(16))
        self.secret = secret.read_text()
        self.knobs = ()
        # Nothing of the caller's comes in but this.
        self.environment = {
            'PATH': f'{self.unpacked}/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': str(self.folder), 'LANG': 'C.UTF-8',
            'PYTHONDONTWRITEBYTECODE': '1', 'PYTHONPATH': str(BUILD),
            'OS_KEYSTONE_CONFIG_FILES': str(self.etc / 'keystone.conf'), 'OS_PLACEMENT_CONFIG_DIR': str(self.etc),
        }
        self.processes = Processes(self.folder, self.environment)

    # Steps that are done once.

    def once(self, name, step):
        stamp = self.done / name
        if not stamp.exists():
            say(f'cloud: {name}')
            step()
            stamp.touch()

    def run(self, command, given=None, **variables):
        log = self.folder / 'log' / 'prepare.log'
        outcome = subprocess.run([str(word) for word in command], env={**self.environment, **variables}, input=given, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        with open(log, 'a') as out:
            out.write(f'$ {" ".join(map(str, command))}\n{outcome.stdout}')
        if outcome.returncode:
            raise Failed(f'{command[0]} failed ({log}):\n{outcome.stdout[-1500:]}')
        return outcome.stdout

    def prepare(self):
        """Everything that this process and the services import is there."""
        self.once('packages', self.install)
        self.install_driver()

    def install(self):
        query = subprocess.run(['dpkg-query', '-W', '-f', '${Package} ${db:Status-Status}\n', *INSTALLED], capture_output=True, text=True)
        there = {line.split()[0] for line in query.stdout.splitlines() if line.endswith(' installed')}
        missing = [name for name in INSTALLED if name not in there]
        if missing and os.geteuid():
            raise Failed(f'not installed: {" ".join(missing)}. Run this as root once')
        apt = {'DEBIAN_FRONTEND': 'noninteractive', 'PATH': os.environ['PATH']}
        self.run(['apt-get', 'update'], **apt)
        if missing:
            say(f'cloud: installing {len(missing)} packages with what they need')
            # 101: maintainer scripts start no services.
            policy = pathlib.Path('/usr/sbin/policy-rc.d')
            ours = not policy.exists()
            if ours:
                policy.write_text('#!/bin/sh\nexit 101\n')
                policy.chmod(0o755)
            try:
                self.run(['apt-get', 'install', '-y', '--no-install-recommends', '-o', 'Dpkg::Options::=--force-confold', *missing], **apt)
            finally:
                if ours:
                    policy.unlink()
        shutil.rmtree(self.unpacked, ignore_errors=True)
        downloads = self.unpacked / 'deb'
        downloads.mkdir(parents=True)
        here = os.getcwd()
        os.chdir(downloads)
        try:
            self.run(['apt-get', 'download', *UNPACKED], **apt)
        finally:
            os.chdir(here)
        for package in downloads.iterdir():
            self.run(['dpkg', '-x', package, self.unpacked])
        shutil.rmtree(downloads)

    def install_driver(self):
        """The package as pip would lay it out, entry points and all, without reaching for anything on the net."""
        shutil.rmtree(BUILD, ignore_errors=True)
        shutil.copytree(PACKAGE / 'nova_microvisor', BUILD / 'nova_microvisor', ignore=shutil.ignore_patterns('__pycache__'))
        info = BUILD / 'nova_microvisor-0.1.0.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: nova-microvisor\nVersion: 0.1.0\n')
        (info / 'entry_points.txt').write_text('[neutron.ml2.mechanism_drivers]\nmicrovisor = nova_microvisor.ml2:MicroVisorMechanismDriver\n')

    # Configuration.

    def database(self, name):
        return f'mysql+pymysql://openstack:{self.secret}@127.0.0.1:{PORTS["mariadb"]}/{name}?charset=utf8'

    def transport(self):
        return f'rabbit://openstack:{self.secret}@127.0.0.1:{PORTS["rabbitmq"]}/'

    def account(self, user):
        return {'auth_type': 'password', 'auth_url': f'{url("keystone")}/v3', 'username': user, 'password': self.secret,
                'project_name': 'service', 'user_domain_id': 'default', 'project_domain_id': 'default', 'region_name': REGION}

    def common(self, user):
        return {
            'keystone_authtoken': {**(KNOBS['token-cache']['keystone_authtoken'] if 'token-cache' in self.knobs else {}), 'www_authenticate_uri': f'{url("keystone")}/v3', 'service_token_roles': 'admin',
                                   'service_token_roles_required': 'true', **self.account(user)},
            'oslo_concurrency': {'lock_path': self.folder / user / 'lock'},
            'oslo_messaging_notifications': {'driver': 'messagingv2'},
        }

    def write(self, name, text):
        """Whether it says something new."""
        path = self.etc / name
        if path.exists() and path.read_text() == text:
            return False
        path.write_text(text)
        return True

    def configure(self):
        f = self.folder
        for name in ('rabbitmq', 'glance/images', 'glance/lock', 'neutron/lock', 'nova/lock', 'placement/lock', 'keystone'):
            (f / name).mkdir(parents=True, exist_ok=True)
        log = lambda name: {'log_file': f / 'log' / f'{name}.log'}
        local = {'bind_host': '127.0.0.1'}
        self.write('rabbitmq.conf', f'listeners.tcp.1 = 127.0.0.1:{PORTS["rabbitmq"]}\ndefault_user = openstack\n'
                   f'default_pass = {self.secret}\ndisk_free_limit.absolute = 100MB\nlog.console = true\nlog.file = false\n')
        self.write('rabbitmq-plugins', '[].\n')
        keys = {'key_repository': f / 'keystone' / 'fernet'}
        self.write('keystone.conf', ini({
            'DEFAULT': log('keystone'), 'database': {'connection': self.database('keystone')}, 'fernet_tokens': keys,
            'fernet_receipts': keys, 'credential': {'key_repository': f / 'keystone' / 'credential'}}))
        self.write('placement.conf', ini({
            'DEFAULT': log('placement'), 'placement_database': {'connection': self.database('placement')}, **self.common('placement')}))
        share = self.unpacked / 'usr' / 'share'
        self.write('glance.conf', ini({
            'DEFAULT': {**log('glance'), **local, 'bind_port': PORTS['glance'], 'workers': 1, 'enabled_backends': 'files:file',
                        'transport_url': self.transport()},
            'paste_deploy': {'config_file': share / 'glance-common' / 'glance-api-paste.ini', 'flavor': 'keystone'},
            'database': {'connection': self.database('glance')}, 'glance_store': {'default_backend': 'files'},
            'files': {'filesystem_store_datadir': f / 'glance' / 'images'},
            'os_glance_staging_store': {'filesystem_store_datadir': f / 'glance' / 'staging'},
            'os_glance_tasks_store': {'filesystem_store_datadir': f / 'glance' / 'tasks'}, **self.common('glance')}))
        self.write('neutron.conf', ini({
            'DEFAULT': {**log('neutron'), **local, 'bind_port': PORTS['neutron'], 'api_workers': 1, 'rpc_workers': 1,
                        'rpc_state_report_workers': 0, 'state_path': f / 'neutron', 'core_plugin': 'ml2', 'service_plugins': '',
                        'api_paste_config': share / 'neutron-common' / 'api-paste.ini', 'transport_url': self.transport()},
            'database': {'connection': self.database('neutron')},
            'nova': self.account('nova'), 'placement': self.account('placement'),
            'ml2': {'type_drivers': 'local,flat,vlan', 'tenant_network_types': 'vlan', 'mechanism_drivers': 'microvisor',
                    'extension_drivers': 'port_security'},
            'ml2_type_flat': {'flat_networks': 'outside'}, 'ml2_type_vlan': {'network_vlan_ranges': 'inside:100:3999'},
            'ml2_microvisor': {'hosts': HOST}, **self.common('neutron')}))
        nova = {
            'DEFAULT': {'my_ip': '127.0.0.1', 'host': HOST, 'state_path': f / 'nova', 'transport_url': self.transport(),
                        'enabled_apis': 'osapi_compute', 'osapi_compute_listen': '127.0.0.1', 'osapi_compute_workers': 2,
                        'osapi_compute_listen_port': PORTS['nova']},
            'wsgi': {'api_paste_config': share / 'nova-common' / 'api-paste.ini'},
            'conductor': {'workers': 1}, 'scheduler': {'workers': 1}, 'quota': {'instances': -1, 'cores': -1, 'ram': -1},
            'glance': {'endpoint_override': url('glance')}, 'placement': self.account('placement'),
            'neutron': self.account('neutron'), 'service_user': {'send_service_user_token': 'true', **self.account('nova')},
            'vnc': {'enabled': 'false'},
            'notifications': {'notification_format': 'versioned', 'notify_on_state_change': 'vm_and_task_state'},
            **self.common('nova')}
        for knob in self.knobs:
            for section, values in KNOBS[knob].items():
                nova[section] = {**nova.get(section, {}), **values}
        self.write('nova.conf', ini(nova))
        # nova-compute has no business in the databases.
        self.write('nova-databases.conf', ini({'api_database': {'connection': self.database('nova_api')},
                                               'database': {'connection': self.database('nova')}}))
        self.write('clouds.yaml', 'clouds:\n  microvisor:\n    region_name: %s\n    auth: {auth_url: "%s/v3", username: admin, '
                   'password: "%s", project_name: admin, user_domain_id: default, project_domain_id: default}\n'
                   % (REGION, url('keystone'), self.secret))

    # Services.

    def up(self):
        self.prepare()
        self.configure()
        p = self.processes
        self.once('database', self.new_mariadb)
        p.start('mariadb', ['mariadbd', '--no-defaults', '--user=root', f'--datadir={self.folder}/mariadb', f'--socket={self.folder}/mariadb.sock',
                            '--bind-address=127.0.0.1', f'--port={PORTS["mariadb"]}', '--skip-name-resolve', '--max-connections=500',
                            '--innodb-buffer-pool-size=256M', '--innodb-flush-log-at-trx-commit=2'])
        self.start_rabbitmq()
        p.start('memcached', ['memcached', '-u', 'root', '-l', '127.0.0.1', '-p', PORTS['memcached'], '-m', 16])
        p.await_('mariadb', lambda: listens('mariadb'))
        self.once('databases', self.new_databases)
        self.once('nova', self.new_nova)
        self.once('keystone', self.new_keystone)
        self.start_wsgi('keystone', '/usr/bin/keystone-wsgi-public')
        self.once('placement', lambda: self.run(['placement-manage', '--config-file', self.etc / 'placement.conf', 'db', 'sync']))
        self.once('glance', lambda: self.run(['glance-manage', '--config-file', self.etc / 'glance.conf', 'db_sync']))
        self.once('neutron', lambda: self.run(['neutron-db-manage', '--config-file', self.etc / 'neutron.conf', 'upgrade', 'heads']))
        p.await_('keystone', lambda: listens('keystone'))
        self.once('catalogue', self.new_catalogue)
        self.start_wsgi('placement', '/usr/bin/placement-api')
        p.start('glance', ['glance-api', '--config-file', self.etc / 'glance.conf'])
        p.await_('rabbitmq', lambda: listens('rabbitmq'))
        p.start('neutron', ['neutron-server', '--config-file', self.etc / 'neutron.conf'])
        for name in NOVA:
            p.start(name, [name, '--config-file', self.etc / 'nova.conf', '--config-file', self.etc / 'nova-databases.conf',
                           '--log-file', p.log(name)])
        for name, service in (('placement', 'placement'), ('glance', 'glance'), ('neutron', 'neutron'), ('nova-api', 'nova')):
            p.await_(name, lambda: listens(service))
        for name, queue in (('nova-conductor', 'conductor'), ('nova-scheduler', 'scheduler')):
            p.await_(name, lambda: self.consumed(queue))

    def turn(self, knobs):
        """Has the services run with other knobs turned."""
        if set(knobs) != set(self.knobs):
            self.knobs = knobs
            self.processes.stop(['nova-microvisor-timeline', 'nova-compute', 'keystone', 'placement', 'glance', 'neutron', *NOVA])
            self.up()

    def down(self):
        self.processes.stop(['nova-microvisor-timeline', 'nova-compute', *SERVICES])
        self.processes.stop(reversed(ENGINES))

    def new_mariadb(self):
        shutil.rmtree(self.folder / 'mariadb', ignore_errors=True)
        self.run(['mariadb-install-db', '--no-defaults', f'--datadir={self.folder}/mariadb', '--user=root', '--skip-test-db',
                  '--skip-name-resolve', '--auth-root-authentication-method=socket', '--auth-root-socket-user=root'])

    def sql(self, text, database='mysql'):
        return self.run(['mariadb', '--no-defaults', f'--socket={self.folder}/mariadb.sock', '--batch', '--skip-column-names', database], text)

    def new_databases(self):
        self.sql('\n'.join(f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8; GRANT ALL ON {name}.* TO "
                           f"openstack@'127.0.0.1' IDENTIFIED BY '{self.secret}';" for name in DATABASES))

    def nova_manage(self, *words):
        return self.run(['nova-manage', '--config-file', self.etc / 'nova.conf', '--config-file', self.etc / 'nova-databases.conf', *words])

    def new_nova(self):
        self.nova_manage('api_db', 'sync')
        self.nova_manage('cell_v2', 'map_cell0', '--database_connection', self.database('nova_cell0'))
        if 'cell1' not in self.nova_manage('cell_v2', 'list_cells'):
            self.nova_manage('cell_v2', 'create_cell', '--name', 'cell1')
        self.nova_manage('db', 'sync')

    def new_keystone(self):
        manage = ['keystone-manage', '--config-file', self.etc / 'keystone.conf']
        for keys in ('fernet_setup', 'credential_setup'):
            self.run([*manage, keys, '--keystone-user', 'root', '--keystone-group', 'root'])
        self.run([*manage, 'db_sync'])
        urls = [f'--bootstrap-{kind}-url={url("keystone")}/v3' for kind in ('public', 'internal', 'admin')]
        self.run([*manage, 'bootstrap', '--bootstrap-region-id', REGION, *urls], OS_BOOTSTRAP_PASSWORD=self.secret)

    def new_catalogue(self):
        identity = self.connect().identity
        project = identity.find_project('service') or identity.create_project(name='service', domain_id='default')
        admin = identity.find_role('admin')
        for user, kind, address in (('placement', 'placement', url('placement')), ('glance', 'image', url('glance')),
                                    ('nova', 'compute', f'{url("nova")}/v2.1'), ('neutron', 'network', url('neutron'))):
            account = identity.find_user(user) or identity.create_user(name=user, password=self.secret, domain_id='default')
            identity.assign_project_role_to_user(project, account, admin)
            if identity.find_service(user) is None:
                service = identity.create_service(name=user, type=kind)
                for interface in ('public', 'internal', 'admin'):
                    identity.create_endpoint(service_id=service.id, interface=interface, region_id=REGION, url=address)

    def start_rabbitmq(self):
        p, scripts = self.processes, self.unpacked.glob('usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server')
        # Erlang's name daemon is ours: RabbitMQ would start one for all addresses, and leave it there.
        p.start('epmd', ['epmd', '-address', '127.0.0.1', '-port', PORTS['epmd']])
        p.await_('epmd', lambda: listens('epmd'))
        home = self.folder / 'rabbitmq'
        # As under systemd the script becomes the server; idle schedulers of Erlang shall not spin.
        p.start('rabbitmq', [next(scripts)], HOME=home, RUNNING_UNDER_SYSTEMD='true', ERL_EPMD_ADDRESS='127.0.0.1', ERL_EPMD_PORT=PORTS['epmd'],
                RABBITMQ_NODENAME='microvisor@localhost', RABBITMQ_DIST_PORT=PORTS['erlang'], RABBITMQ_LOGS='-',
                RABBITMQ_CONFIG_FILE=self.etc / 'rabbitmq.conf', RABBITMQ_ENABLED_PLUGINS_FILE=self.etc / 'rabbitmq-plugins',
                RABBITMQ_MNESIA_BASE=home / 'mnesia', RABBITMQ_LOG_BASE=self.folder / 'log', RABBITMQ_GENERATED_CONFIG_DIR=home / 'config',
                RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}')

    def start_wsgi(self, name, script):
        self.processes.start(name, ['uwsgi_python3', '--http-socket', f'127.0.0.1:{PORTS[name]}', '--wsgi-file', script, '--master', '--no-orphans',
                                    '--processes', 2, '--threads', 4, '--lazy-apps', '--need-app', '--die-on-term', '--buffer-size', 65535,
                                    '--add-header', 'Connection: close', '--procname-prefix-spaced', name])

    def consumed(self, queue):
        """Whether somebody takes messages from a queue: what ready means for a service without a port."""
        import amqp
        try:
            with amqp.Connection(f'127.0.0.1:{PORTS["rabbitmq"]}', userid='openstack', password=self.secret) as connection:
                return connection.channel().queue_declare(queue, passive=True).consumer_count > 0
        except (OSError, amqp.AMQPError):
            return False

    # nova-compute.

    def compute(self, driver, settings, **more):
        """Starts nova-compute anew with a driver and sections of settings, and waits until servers are scheduled to it."""
        p = self.processes
        p.stop(['nova-compute'])
        sections = {'DEFAULT': {'compute_driver': driver, **more}, **settings}
        self.write('nova-compute.conf', ini(sections))
        since = time.time()
        configured = ['--config-file', self.etc / 'nova.conf', '--config-file', self.etc / 'nova-compute.conf']
        p.start('nova-compute', ['/usr/bin/python3', '-m', 'nova_microvisor.compute', *configured, '--log-file', p.log('nova-compute')])
        p.await_('nova-compute', lambda: self.consumed(f'compute.{HOST}'))
        p.await_('nova-compute', lambda: self.is_up(since))
        self.once('compute-host', lambda: self.nova_manage('cell_v2', 'discover_hosts', '--by-service'))
        if 'microvisor' in settings:
            p.start('nova-microvisor-timeline', ['/usr/bin/python3', '-c', 'from nova_microvisor.timeline import main; main()', *configured,
                                                 '--log-file', p.log('nova-microvisor-timeline')])

    def is_up(self, since):
        """Whether it has told the database so in this life: the scheduler passes it over until then."""
        told = self.sql("SELECT COUNT(*) FROM services WHERE `binary` = 'nova-compute' AND deleted = 0 AND last_seen_up > "
                        f"FROM_UNIXTIME({int(since)}) - INTERVAL TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), NOW()) SECOND", 'nova')
        return told.strip() == '1'

    # For clients.

    def variables(self):
        return {'OS_AUTH_URL': f'{url("keystone")}/v3', 'OS_IDENTITY_API_VERSION': '3', 'OS_REGION_NAME': REGION, 'OS_USERNAME': 'admin',
                'OS_PASSWORD': self.secret, 'OS_PROJECT_NAME': 'admin', 'OS_USER_DOMAIN_ID': 'default', 'OS_PROJECT_DOMAIN_ID': 'default',
                'OS_COMPUTE_API_VERSION': '2.90', 'OS_PLACEMENT_API_VERSION': '1.39'}

    def connect(self):
        import openstack
        return openstack.connect(load_yaml_config=False, load_envvars=False, auth_url=f'{url("keystone")}/v3', username='admin',
                                 password=self.secret, project_name='admin', user_domain_id='default', project_domain_id='default',
                                 region_name=REGION, compute_default_microversion='2.90')

    def status(self):
        names = [*ENGINES, *SERVICES, 'nova-compute']
        for name in names:
            print(f'{name:16} {self.processes.pid(name) or "-"}')
        return all(self.processes.pid(name) for name in names[:-1])


def main():
    cloud = Cloud()
    match sys.argv[1:]:
        case ['up']:
            cloud.up()
        case ['down']:
            cloud.down()
        case ['env']:
            print('\n'.join(f'export {name}={value}' for name, value in cloud.variables().items()))
        case ['status']:
            sys.exit(0 if cloud.status() else 1)
        case _:
            sys.exit(__doc__)


if __name__ == '__main__':
    try:
        main()
    except Failed as e:
        sys.exit(f'cloud: {e}')
