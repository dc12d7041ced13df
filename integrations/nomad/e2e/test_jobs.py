"""Jobs of a real Nomad on MicroVisor: `make test-nomad`."""

import hashlib
import http.server
import json
import subprocess
import threading
import time
import unittest

from place import ADDRESS, CLIENT, EXAMPLES, IMAGES, OUTSIDE, PONG, RELEASE, SERVER, SUBNET, Place, eventually, quiet, run

PLACE = Place()


def setUpModule():
    unittest.addModuleCleanup(PLACE.down)
    PLACE.up()


class Case(unittest.TestCase):
    def setUp(self):
        self.addCleanup(PLACE.stop_jobs)

    def example(self, name, *variables):
        """Runs an example as a user does; the allocations' ids."""
        words = [word for variable in variables for word in ('-var', variable)]
        said = PLACE.command('job', 'run', '-detach', *words, EXAMPLES / f'{name}.nomad.hcl').stdout
        self.assertIn('registration successful', said)
        return [allocation['ID'] for allocation in PLACE.runs(name)]

    def says(self, allocation, *command, task='task'):
        outcome = PLACE.execute(allocation, *command, task=task)
        self.assertEqual(outcome.returncode, 0, outcome)
        return outcome.stdout.strip()


class Examples(Case):
    def test_firewall(self):
        [allocation] = self.example('firewall')
        address = PLACE.address(allocation, 'firewall')
        self.assertTrue(PLACE.pings(address, 3))
        self.assertEqual(self.says(allocation, 'read', 'passed.count', task='firewall'), '3')

    def test_template_is_swapped_without_a_restart(self):
        PLACE.nomad('PUT', '/v1/var/nomad/jobs/template', {'Path': 'nomad/jobs/template', 'Items': {'answer': 'no'}})
        [allocation] = self.example('template')
        seen = PLACE.instance(allocation, 'responder')
        address = seen['devices'][0]['address']
        self.assertFalse(PLACE.pings(address))
        PLACE.nomad('PUT', '/v1/var/nomad/jobs/template', {'Path': 'nomad/jobs/template', 'Items': {'answer': 'yes'}})
        eventually('it answers', lambda: PLACE.pings(address))
        self.assertEqual(PLACE.instance(allocation, 'responder')['pid'], seen['pid'], 'it was started again')
        self.assertTrue(PLACE.event_says(allocation, 'without a packet lost'))

    def test_service(self):
        [allocation] = self.example('service')
        port = PLACE.allocation(allocation)['AllocatedResources']['Shared']['Ports'][0]['Value']

        def answered():
            ask = f'exec 3<>/dev/tcp/{ADDRESS}/{port}; printf "PING\\r\\n" >&3; head -1 <&3'
            return run('ip', 'netns', 'exec', OUTSIDE, 'timeout', '2', 'bash', '-c', ask, check=False).stdout.strip() == '+PONG'
        eventually('from outside the host it answers on the published port', answered, 10)
        # At the allocation's own address, as other allocations reach it.
        address = PLACE.allocation(allocation)['NetworkStatus']['Address']
        self.assertEqual(PLACE.address(allocation, 'redis'), address)
        self.assertTrue(PLACE.pings(address))
        [service] = PLACE.nomad('GET', '/v1/service/redis')
        self.assertEqual((service['Address'], service['Port']), (ADDRESS, port))

        def healthy():
            checks = (PLACE.nomad('GET', f'/v1/client/allocation/{allocation}/checks') or {}).values()
            return [check['Status'] for check in checks] == ['success']
        eventually('its check succeeds', healthy, 10)
        self.assertIn('serving on port 6379', PLACE.logs(allocation, 'redis'))
        PLACE.stop('service')
        eventually('its service is gone', lambda: not PLACE.nomad('GET', '/v1/service/redis'), 10)
        eventually('its network is gone', lambda: [n['name'] for n in PLACE.node('GET', '/v1/networks')] == ['blue'], 10)

    def test_artifact(self):
        folder = PLACE.folder / 'served'
        folder.mkdir(exist_ok=True)
        (folder / 'responder.click').write_text(PONG)
        image = (IMAGES / 'clickos').read_bytes()
        (folder / 'clickos').write_bytes(image)

        class Quiet(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *words):
                super().__init__(*words, directory=folder)

            def log_message(self, *_):
                pass
        server = http.server.ThreadingHTTPServer((ADDRESS, 0), Quiet)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = f'http://{ADDRESS}:{server.server_port}'
        digest = hashlib.sha256(image).hexdigest()
        [allocation] = self.example('artifact', f'source={source}', f'image_checksum=sha256:{digest}')
        self.assertTrue(PLACE.pings(PLACE.address(allocation, 'responder')))
        self.assertTrue(PLACE.instance(allocation, 'responder')['image'].startswith('nomad-'))
        # The same from a URL that the node fetches.
        url = PLACE.task(own={'image': f'{source}/clickos', 'image_sha256': digest})
        allocation = PLACE.run_one(PLACE.job('url', url))
        self.assertTrue(PLACE.pings(PLACE.address(allocation)))

    def test_on_demand(self):
        [allocation] = self.example('on-demand')
        self.assertEqual(PLACE.instance(allocation, 'responder')['state'], 'waiting')
        self.assertTrue(PLACE.pings('10.78.0.99'))
        self.assertEqual(PLACE.instance(allocation, 'responder')['state'], 'ready')

    def test_fleet(self):
        PLACE.command('job', 'run', '-detach', '-var', 'count=5', EXAMPLES / 'fleet.nomad.hcl')
        for allocation in PLACE.runs('fleet', 5):
            self.assertTrue(PLACE.pings(PLACE.address(allocation['ID'], 'responder')))


class Tasks(Case):
    def test_logs_stats_and_commands(self):
        text = PONG.replace('ICMPPingResponder', 'c :: Counter -> ICMPPingResponder') + '\nScript(print "hello from the guest");'
        allocation = PLACE.run_one(PLACE.job('talks', PLACE.task(text)))
        eventually('its console is in the log', lambda: 'hello from the guest' in PLACE.logs(allocation), 10)
        self.assertEqual(self.says(allocation, 'c.count'), '0')
        self.assertTrue(PLACE.pings(PLACE.address(allocation), 2))
        self.assertEqual(self.says(allocation, 'read', 'c.count'), '2')
        self.says(allocation, 'write', 'c.reset', '1')
        self.assertEqual(self.says(allocation, 'read', 'c.count'), '0')
        self.assertEqual(PLACE.execute(allocation, 'ls').returncode, 127)
        typed = PLACE.execute(allocation, 'shell', given='c.count\nexit\n')
        self.assertEqual((typed.stdout.strip(), typed.returncode), ('0', 0))
        swapped = PLACE.execute(allocation, 'swap', given=PONG.replace('ICMPPingResponder', 'd :: Counter -> ICMPPingResponder'))
        self.assertEqual(swapped.returncode, 0, swapped)
        self.assertEqual(self.says(allocation, 'd.count'), '0')

        def memory():
            usage = PLACE.nomad('GET', f'/v1/client/allocation/{allocation}/stats')['Tasks']
            return usage and usage['task']['ResourceUsage']['MemoryStats']['RSS'] > 1 << 20
        eventually('its memory is known', memory, 10)

    def test_what_cannot_run_fails_with_the_place(self):
        for name, task, reason in (
                ('bad', PLACE.task('FromDevice(eth0) ->\n  Nonsense -> Discard;'), '2:3'),
                ('image', PLACE.task(own={'image': 'no-such-image'}), 'no-such-image'),
                ('key', PLACE.task(own={'unheard_of': 1}), 'unheard_of'),
                ('file', PLACE.task(config=None, own={'image': 'local/not-an-image'}, Templates=[
                    {'EmbeddedTmpl': 'none', 'DestPath': 'local/not-an-image', 'ChangeMode': 'noop'}]), 'image')):
            with self.subTest(name):
                allocation = PLACE.settles(PLACE.job(name, task), 'failed')
                self.assertTrue(any(reason in event for event in PLACE.events(allocation)), PLACE.events(allocation))
        self.assertEqual(PLACE.instances(), [])

    def test_a_guest_that_dies_is_started_again_by_nomads_policy(self):
        policy = {'Attempts': 2, 'Mode': 'fail', 'Interval': 60 * 10**9, 'Delay': 10**8}
        allocation = PLACE.run_one(PLACE.job('dies', PLACE.task(), group={'RestartPolicy': policy}))
        pid = PLACE.instance(allocation)['pid']
        run('kill', '-9', pid)
        eventually('another runs', lambda: (PLACE.instance(allocation) or {}).get('pid') not in (None, pid))
        self.assertTrue(PLACE.pings(PLACE.address(allocation)))
        self.assertEqual(len(PLACE.instances()), 1)

    def test_a_batch_task_completes(self):
        task = PLACE.task(config=None, own={'image': 'hello'})
        job = PLACE.job('hello', task, Type='batch', group={'Networks': [{'Mode': 'none'}]})
        allocation = PLACE.settles(job, 'complete', 'failed')
        self.assertEqual(allocation['ClientStatus'], 'complete', PLACE.events(allocation))
        eventually('its only words are in the log', lambda: PLACE.logs(allocation['ID']) != '', 10)

    def test_two_tasks_of_one_group(self):
        allocation = PLACE.run_one(PLACE.job('pair', PLACE.task(name='first'), PLACE.task(name='second')))
        self.assertEqual(len({PLACE.address(allocation, name) for name in ('first', 'second')}), 2)

    def test_in_bridge_mode_a_restarted_task_keeps_the_address(self):
        policy = {'Attempts': 2, 'Mode': 'fail', 'Interval': 60 * 10**9, 'Delay': 10**8}
        group = {'RestartPolicy': policy, 'Networks': [{'Mode': 'bridge'}]}
        allocation = PLACE.run_one(PLACE.job('bridged', PLACE.task(), group=group))
        before = PLACE.instance(allocation)
        run('kill', '-9', before['pid'])
        eventually('another runs', lambda: (PLACE.instance(allocation) or {}).get('pid') not in (None, before['pid']))
        self.assertEqual(PLACE.address(allocation), before['devices'][0]['address'])
        self.assertTrue(PLACE.pings(PLACE.address(allocation)))

    def test_in_bridge_mode_one_task_has_the_address_and_others_are_on_the_nodes_networks(self):
        group = {'Networks': [{'Mode': 'bridge'}]}
        second = PLACE.task(name='second', own={'allocation_address': False})
        allocation = PLACE.run_one(PLACE.job('several', PLACE.task(name='first'), second, group=group))
        address = PLACE.allocation(allocation)['NetworkStatus']['Address']
        self.assertEqual(PLACE.address(allocation, 'first'), address)
        other = PLACE.address(allocation, 'second')
        self.assertTrue(other.startswith(f'{SUBNET}.'), other)
        self.assertTrue(PLACE.pings(address) and PLACE.pings(other))
        both = PLACE.job('both', PLACE.task(name='first'), PLACE.task(name='second'), group=group)
        failed = PLACE.settles(both, 'failed')
        self.assertTrue(any('allocation_address = false' in event for event in PLACE.events(failed)), PLACE.events(failed))

    def test_preemption(self):
        total = PLACE.nomad('GET', f'/v1/node/{PLACE.client_id}')['NodeResources']['Cpu']['CpuShares']
        most = {'CPU': int(total * 0.7), 'MemoryMB': 16}
        low = PLACE.run_one(PLACE.job('low', PLACE.task(Resources=most), Priority=10))
        high = PLACE.run_one(PLACE.job('high', PLACE.task(Resources=most), Priority=90))
        eventually('the less important one is gone', lambda: PLACE.instance(low) is None, 15)
        self.assertTrue(PLACE.pings(PLACE.address(high)))

    def test_drain(self):
        PLACE.run_one(PLACE.job('drained', PLACE.task()))
        drain = {'DrainSpec': {'Deadline': 10**9, 'IgnoreSystemJobs': False}}
        try:
            PLACE.nomad('PUT', f'/v1/node/{PLACE.client_id}/drain', drain)
            eventually('nothing runs here', lambda: not PLACE.instances(), 20)
        finally:
            PLACE.nomad('PUT', f'/v1/node/{PLACE.client_id}/drain', {'DrainSpec': None, 'MarkEligible': True})


class Timelines(Case):
    def test_a_timeline_goes_from_the_registration_to_the_first_packet(self):
        words = [RELEASE / 'nomad-driver-microvisor', 'timeline', '--nomad', CLIENT, '--server', SERVER, '--node', PLACE.socket]
        collector = subprocess.Popen([str(word) for word in words])
        self.addCleanup(collector.wait)
        self.addCleanup(collector.terminate)
        time.sleep(1)
        template = {'EmbeddedTmpl': PONG, 'DestPath': 'local/pong.click', 'ChangeMode': 'noop'}
        task = PLACE.task(config=None, own={'config_file': 'local/pong.click'}, Templates=[template])
        allocation = PLACE.run_one(PLACE.job('timed', task, group={'Networks': [{'Mode': 'bridge'}]}))
        self.assertTrue(PLACE.pings(PLACE.address(allocation)))

        def phases():
            found = PLACE.node('GET', f'/v1/instances/{allocation}/timeline')
            told = {phase['name']: phase for phase in found.get('external', ())}
            # The driver tells its own at once, the collector what it has heard.
            return told if 'driver' in told else None
        found = eventually('the phases of Nomad are there', phases, 20)
        for name in ('register', 'evaluation', 'scheduler', 'plan', 'client: notice', 'client: allocation hooks', 'network-hook',
                     'client: task hooks', 'client: logmon', 'template', 'driver', 'driver: start task', 'driver: node'):
            self.assertIn(name, found)
        tree = PLACE.microvisor('timeline', allocation[:8])
        for name in ('register', 'network-hook', 'driver', 'spawn', 'first-packet'):
            self.assertIn(name, tree)
        # One after the other, and the node's own within the driver's.
        order = [found[name]['start_unix_ns'] for name in ('register', 'evaluation', 'scheduler', 'plan', 'client: notice',
                                                           'client: allocation hooks', 'client: task hooks', 'driver')]
        self.assertEqual(order, sorted(order))
        begun = PLACE.node('GET', f'/v1/instances/{allocation}/timeline')['begun_unix_ns']
        self.assertTrue(found['driver']['start_unix_ns'] <= begun <= found['driver']['end_unix_ns'])


class Failures(Case):
    def pids(self):
        return sorted(instance['pid'] for instance in PLACE.instances())

    def test_a_killed_plugin_is_replaced_and_tasks_live_on(self):
        text = PONG.replace('ICMPPingResponder', 'c :: Counter -> ICMPPingResponder')
        allocation = PLACE.run_one(PLACE.job('lives', PLACE.task(text)))
        pids = self.pids()
        [plugin] = PLACE.plugins()
        run('kill', '-9', plugin)
        eventually('another plugin runs', lambda: PLACE.plugins() not in ([], [plugin]))
        eventually('commands reach the task', lambda: PLACE.execute(allocation, 'c.count').returncode == 0)
        self.assertEqual(self.pids(), pids)
        self.assertTrue(PLACE.pings(PLACE.address(allocation)))
        self.assertEqual(PLACE.allocation(allocation)['ClientStatus'], 'running')

    def test_twenty_restarts_of_the_client_leave_nothing_doubled(self):
        allocation = PLACE.run_one(PLACE.job('stays', PLACE.task(), PLACE.task(name='other')))
        pids = self.pids()
        for _ in range(20):
            PLACE.restart_client()
            eventually('the client answers', lambda: quiet(lambda: PLACE.nomad('GET', '/v1/agent/self', base=CLIENT)))
        PLACE.await_ready()
        eventually('commands reach the task', lambda: PLACE.execute(allocation, 'status').returncode == 0)
        self.assertEqual(self.pids(), pids)
        eventually('one plugin runs', lambda: len(PLACE.plugins()) == 1)
        self.assertEqual(PLACE.allocation(allocation)['ClientStatus'], 'running')

    def test_a_hundred_tasks_and_a_client_killed_in_the_middle(self):
        PLACE.register(PLACE.job('hundred', PLACE.task(), count=100))
        eventually('some run', lambda: len(PLACE.instances()) >= 20, 60)
        PLACE.kill('client')
        time.sleep(0.5)
        PLACE.start_client()
        allocations = PLACE.runs('hundred', 100, 120)
        found = PLACE.instances()
        self.assertEqual(len(found), 100)
        self.assertEqual({i['state'] for i in found}, {'ready'})
        self.assertEqual({i['labels']['nomad.alloc'] for i in found}, {a['ID'] for a in allocations})
        self.assertTrue(all(PLACE.pings(i['devices'][0]['address']) for i in found[::10]))

    def test_a_killed_node_is_seen_and_its_tasks_live_on(self):
        allocation = PLACE.run_one(PLACE.job('outlives', PLACE.task()))
        pids = self.pids()
        address = PLACE.address(allocation)
        PLACE.kill_node()
        try:
            eventually('the driver is not healthy', lambda: not PLACE.driver()['Healthy'], 15)
            self.assertIn('does not answer', PLACE.driver()['HealthDescription'])
            self.assertTrue(PLACE.pings(address))
        finally:
            PLACE.start_node()
        eventually('the driver is healthy again', lambda: PLACE.driver()['Healthy'], 15)
        self.assertEqual(self.pids(), pids)
        self.assertEqual(PLACE.allocation(allocation)['ClientStatus'], 'running')

    def test_a_job_that_is_stopped_leaves_nothing(self):
        PLACE.runs(PLACE.job('leaves', PLACE.task(), group={'Networks': [{'Mode': 'bridge'}]}, count=2), 2)
        PLACE.stop('leaves')
        eventually('no instance is left', lambda: not PLACE.instances(), 15)
        eventually('no network is left', lambda: [n['name'] for n in PLACE.node('GET', '/v1/networks')] == ['blue'], 15)
        ports = json.dumps(PLACE.node('GET', '/v1/switch'))
        self.assertNotIn('nomad-', ports)


if __name__ == '__main__':
    unittest.main(verbosity=2)
