"""Processes are killed while Nova changes servers: nova-compute, the node's daemon, both, or the switch, at a random moment of
each action. Afterwards every server is settled, Nova, the node and ping agree, and the node has nothing that Nova does not know.

NOVA_E2E_SEED chooses the order and the moments (printed if left out), NOVA_E2E_ROUNDS how many of the 36 combinations are tried
(default 12). The first nine have every action and every victim.
"""

import base64
import itertools
import os
import random
import signal
import time
import unittest

from place import PONG, Site, eventually

SITE = Site()

# What is asked of a server, the status that it has before, and the statuses that it has afterwards.
ACTIONS = {
    'stop': ({'os-stop': None}, 'ACTIVE', 'SHUTOFF'),
    'start': ({'os-start': None}, 'SHUTOFF', 'ACTIVE'),
    'pause': ({'pause': None}, 'ACTIVE', 'PAUSED'),
    'unpause': ({'unpause': None}, 'PAUSED', 'ACTIVE'),
    'soft reboot': ({'reboot': {'type': 'SOFT'}}, 'ACTIVE', 'ACTIVE'),
    'hard reboot': ({'reboot': {'type': 'HARD'}}, 'ACTIVE', 'ACTIVE'),
    'rebuild': (None, 'ACTIVE', 'ACTIVE'),
    'create': (None, None, 'ACTIVE'),
    'delete': (None, 'ACTIVE', None),
}
VICTIMS = {'nova-compute': {'nova-compute'}, 'node': {'node'}, 'nova-compute and node': {'nova-compute', 'node'}, 'switch': {'switch'}}
# An action that ends with nova-compute in the middle of one of these is Nova's own loss, with any driver: it makes the server
# ERROR when it starts, or leaves the task's state for good.
LOST = {'create': {'ERROR'}, 'rebuild': {'ERROR'}}
# From any status to another that the next round wants.
WAYS = {'ACTIVE': 'hard reboot', 'SHUTOFF': 'stop', 'PAUSED': 'pause'}
# Nova's power states of the node's states, as Nova's API shows them.
POWER = {'ready': 1, 'paused': 3, 'stopped': 4, 'failed': 4}


def setUpModule():
    unittest.addModuleCleanup(SITE.down)
    SITE.up()


class Kills(unittest.TestCase):
    def setUp(self):
        self.addCleanup(self.nothing_is_left)

    def nothing_is_left(self):
        SITE.delete(*[server['id'] for server in SITE.api.compute.get('/servers').json()['servers']])
        eventually('the node has no instance', lambda: not list(SITE.node.instances()), 10)

    def test_whatever_is_killed_when_nova_and_the_node_agree_afterwards(self):
        seed = int(os.environ.get('NOVA_E2E_SEED') or time.time())
        chance = random.Random(seed)
        actions, victims = (chance.sample(list(names), len(names)) for names in (ACTIONS, VICTIMS))
        first = list(zip(actions, itertools.cycle(victims)))
        others = [each for each in itertools.product(ACTIONS, VICTIMS) if each not in first]
        rounds = (first + chance.sample(others, len(others)))[:int(os.environ.get('NOVA_E2E_ROUNDS') or 12)]
        bystander = SITE.active(name='bystander')
        server = None
        lost = []
        for number, (action, victims) in enumerate(rounds):
            delay = chance.uniform(0, 0.8)
            where = f'seed {seed}, round {number}: {action}, {victims} killed after {delay:.2f} s'
            print(where, flush=True)
            with self.subTest(where):
                server = self.prepared(server, ACTIONS[action][1])
                server = self.asked(server, action)
                time.sleep(delay)
                self.kill(VICTIMS[victims])
                self.settles(server, action, 'nova-compute' in victims, lost)
                self.agrees(bystander)
                self.assertTrue(SITE.server(bystander)['status'] == 'ACTIVE', 'somebody else noticed')
        print(f'{len(rounds)} rounds; lost by Nova itself: {", ".join(lost) or "none"}', flush=True)

    def prepared(self, server, status):
        """A server of a status, or none."""
        found = server and SITE.server(server)
        if found and (status is None or found['status'] == 'ERROR' or found['OS-EXT-STS:task_state']):
            SITE.api.compute.post(f'/servers/{server}/action', json={'os-resetState': {'state': 'error'}})
            SITE.delete(server)
            found = None
        if status is None:
            return None
        if not found:
            server = SITE.active(name='tried')
            found = SITE.server(server)
        if found['status'] not in (status, 'ACTIVE'):
            self.act(server, ACTIONS[WAYS['ACTIVE']][0])
            found = SITE.becomes(server, 'ACTIVE')
        if found['status'] != status:
            self.act(server, ACTIONS[WAYS[status]][0])
            SITE.becomes(server, status)
        return server

    def act(self, server, body):
        answer = SITE.api.compute.post(f'/servers/{server}/action', json=body, microversion='2.90')
        self.assertEqual(answer.status_code, 202, answer.text)

    def asked(self, server, action):
        """The server of which it is asked."""
        if action == 'create':
            return SITE.create(name='tried')[0]
        if action == 'delete':
            SITE.api.compute.delete(f'/servers/{server}')
        elif action == 'rebuild':
            config = PONG.replace('ICMPPingResponder', 'c :: Counter -> ICMPPingResponder')
            data = base64.b64encode(config.encode()).decode()
            self.act(server, {'rebuild': {'imageRef': SITE.images['clickos'].id, 'user_data': data}})
        else:
            self.act(server, ACTIONS[action][0])
        return server

    def kill(self, victims):
        if 'switch' in victims:
            os.kill(SITE.node.get('/v1/status')['switch'], signal.SIGKILL)
        if 'nova-compute' in victims:
            SITE.cloud.processes.signal('nova-compute', signal.SIGKILL)
        if 'node' in victims:
            SITE.cloud.processes.signal('node', signal.SIGKILL)
        for victim in victims - {'switch'}:
            eventually(f'{victim} is gone', lambda: SITE.gone(victim))
        if 'node' in victims:
            SITE.start_node()
        if 'nova-compute' in victims:
            SITE.compute()

    def settles(self, server, action, nova_lost, lost):
        """What was asked is done, or Nova itself has lost it."""
        wanted = ACTIONS[action][2]
        allowed = {wanted}
        if nova_lost:
            allowed |= {ACTIONS[action][1], *LOST.get(action, ())}

        def settled():
            found = SITE.server(server)
            if found is None:
                return 'gone' if None in allowed else False
            # What nova-compute had begun is its own to clear when it starts; what it had not, it begins then.
            return found['status'] in allowed and (found['OS-EXT-STS:task_state'] is None) and found['status']
        try:
            status = eventually(f'{server} is settled', settled, 60)
        except AssertionError:
            found = SITE.server(server)
            if not nova_lost or not found or not found['OS-EXT-STS:task_state']:
                raise AssertionError(f'it is {found and (found["status"], found["OS-EXT-STS:task_state"], found.get("fault"))}') from None
            lost.append(f'{action} ({found["OS-EXT-STS:task_state"]})')
            return
        if status not in (wanted, 'gone'):
            lost.append(f'{action} ({status})')

    def agrees(self, bystander):
        """Nova's servers are the node's instances, in the same state, and those that run answer."""
        servers = {server['id']: server for server in SITE.api.compute.get('/servers/detail', microversion='2.90').json()['servers']}

        def together():
            instances = {instance['name']: instance for instance in SITE.node.instances()}
            if instances.keys() - servers.keys():
                return False
            for uuid in servers:
                server = SITE.server(uuid)
                if server['status'] == 'ERROR' or server['OS-EXT-STS:task_state']:
                    continue
                instance = instances.get(uuid)
                if instance is None or POWER.get(instance['state']) != server['OS-EXT-STS:power_state']:
                    return False
            return True
        eventually('Nova and the node agree', together, 30)
        for uuid in servers:
            instance = SITE.instance(uuid)
            if instance and instance['state'] == 'ready':
                self.assertTrue(eventually('it answers', lambda: SITE.answers_ping(SITE.address(uuid)), 10))
        self.assertTrue(SITE.answers_ping(SITE.address(bystander)))


if __name__ == '__main__':
    unittest.main(verbosity=2)
