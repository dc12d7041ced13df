"""Servers of a real OpenStack on MicroVisor: `make test-nova`."""

import base64
import json
import os
import tempfile
import unittest

from place import IMAGES, NAMESPACE, OUTSIDE_SUBNET, PONG, Site, eventually, run

SITE = Site()


def setUpModule():
    unittest.addModuleCleanup(SITE.down)
    SITE.up()


class Servers(unittest.TestCase):
    def setUp(self):
        self.addCleanup(self.nothing_is_left)

    def nothing_is_left(self):
        found = SITE.api.compute.get('/servers').json()['servers']
        SITE.delete(*[server['id'] for server in found])
        eventually('the node has no instance', lambda: not list(SITE.node.instances()), 10)

    def test_a_server_is_created_pinged_reconfigured_rebooted_and_deleted_by_the_command(self):
        with tempfile.NamedTemporaryFile('w', suffix='.click') as file:
            file.write(PONG)
            file.flush()
            made = SITE.openstack('server', 'create', '--image', 'clickos', '--flavor', 'tiny', '--nic', 'none', '--user-data', file.name,
                                  '--wait', '-f', 'json', 'fw')
            self.assertEqual(made['status'], 'ACTIVE')
            uuid = made['id']
            self.assertTrue(SITE.answers_ping(SITE.address(uuid)))
            pid = SITE.instance(uuid)['pid']
            file.seek(0)
            file.write(PONG.replace('ICMPPingResponder', 'c :: Counter -> ICMPPingResponder'))
            file.flush()
            SITE.openstack('server', 'rebuild', '--image', 'clickos', '--user-data', file.name, '--wait', 'fw')
        self.assertEqual(SITE.instance(uuid)['pid'], pid, 'it was started again for a configuration')
        self.assertTrue(SITE.answers_ping(SITE.address(uuid)))
        self.assertEqual(SITE.node.get(f'/v1/instances/{uuid}/handlers/c.count')['value'], '1')
        for kind in ('--soft', '--hard'):
            SITE.openstack('server', 'reboot', kind, '--wait', 'fw')
            self.assertNotEqual(SITE.instance(uuid)['pid'], pid)
            pid = SITE.instance(uuid)['pid']
            self.assertTrue(SITE.answers_ping(SITE.address(uuid)))
        self.assertEqual(SITE.openstack('console', 'log', 'show', 'fw').strip(), SITE.node.get(f'/v1/instances/{uuid}/console').strip())
        SITE.openstack('server', 'delete', '--wait', 'fw')
        self.assertIsNone(SITE.instance(uuid))

    def test_a_rebuild_that_cannot_be_changes_nothing(self):
        uuid = SITE.active()
        pid = SITE.instance(uuid)['pid']
        bad = base64.b64encode(b'FromDevice(eth0) -> Nonsense -> Discard;').decode()
        body = {'rebuild': {'imageRef': SITE.images['clickos'].id, 'user_data': bad}}
        self.assertEqual(SITE.api.compute.post(f'/servers/{uuid}/action', json=body, microversion='2.90').status_code, 202)
        action = eventually('the rebuild has ended', lambda: next((
            a for a in SITE.api.compute.get(f'/servers/{uuid}/os-instance-actions', microversion='2.90').json()['instanceActions']
            if a['action'] == 'rebuild' and a['message']), None))
        SITE.becomes(uuid, 'ACTIVE')
        self.assertEqual((SITE.instance(uuid)['pid'], action['message']), (pid, 'Error'))
        self.assertTrue(SITE.answers_ping(SITE.address(uuid)))

    def test_a_server_stops_starts_pauses_and_nova_shows_it(self):
        uuid = SITE.active()
        for action, status, state, power in (('os-stop', 'SHUTOFF', 'stopped', 4), ('os-start', 'ACTIVE', 'ready', 1), ('pause', 'PAUSED', 'paused', 3),
                                             ('unpause', 'ACTIVE', 'ready', 1)):
            SITE.api.compute.post(f'/servers/{uuid}/action', json={action: None})
            server = SITE.becomes(uuid, status)
            self.assertEqual((SITE.instance(uuid)['state'], server['OS-EXT-STS:power_state']), (state, power))

    def test_what_happens_on_the_node_is_seen_in_nova(self):
        uuid = SITE.active()
        SITE.node.post(f'/v1/instances/{uuid}/stop')
        SITE.becomes(uuid, 'SHUTOFF', seconds=10)
        SITE.api.compute.post(f'/servers/{uuid}/action', json={'os-start': None})
        SITE.becomes(uuid, 'ACTIVE')
        os.kill(SITE.instance(uuid)['pid'], 9)
        SITE.becomes(uuid, 'SHUTOFF', seconds=10)
        self.assertEqual(SITE.instance(uuid)['state'], 'failed')

    def test_a_bad_click_file_is_an_error_with_its_place(self):
        uuid, _ = SITE.create(config='FromDevice(eth0)\n  -> Nonsense -> Discard;')
        server = SITE.becomes(uuid, 'ERROR')
        self.assertRegex(server['fault']['message'], r'config:2:\d+.*Nonsense')
        self.assertIsNone(SITE.instance(uuid))

    def test_what_is_no_guest_image_is_an_error_that_says_so(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(b'\0' * 4096)
            file.flush()
            SITE.images['zeros'] = SITE.image('zeros', file.name)
        self.addCleanup(lambda: SITE.api.image.delete_image(SITE.images.pop('zeros')))
        uuid, _ = SITE.create(image='zeros')
        self.assertRegex(SITE.becomes(uuid, 'ERROR')['fault']['message'], 'unacceptable: .*image')

    def test_flavors_that_cannot_be_are_errors_with_the_key(self):
        for specs, words in (({'microvisor:networks': 'green'}, 'green'), ({'microvisor:prepared': 'maybe'}, 'microvisor:prepared'),
                             ({'microvisor:networks': 'blue', 'microvisor:queue': '7'}, 'power of two')):
            SITE.flavors['odd'] = SITE.flavor('odd', specs)
            uuid, _ = SITE.create(flavor='odd')
            message = SITE.becomes(uuid, 'ERROR')['fault']['message']
            self.assertIn(words, message)
            SITE.delete(uuid)

    def test_the_configuration_may_be_a_property_of_the_image_of_any_length(self):
        long = PONG + '// ' + 'x' * 3000
        SITE.images['firewall'] = SITE.image('firewall', IMAGES / 'clickos', microvisor_config=long)
        self.addCleanup(lambda: SITE.api.image.delete_image(SITE.images.pop('firewall')))
        uuid = SITE.active(image='firewall', config=None)
        self.assertTrue(SITE.answers_ping(SITE.address(uuid)))

    def test_variables_come_from_metadata(self):
        config = 'define($WORD none); ' + PONG + ' Script(print "the word is $WORD");'
        uuid = SITE.active(config=config, metadata={'microvisor:var:WORD': 'hello', 'other': 'x'})
        self.assertIn('the word is hello', SITE.node.get(f'/v1/instances/{uuid}/console'))

    def test_rates_and_shares_become_the_node_s(self):
        SITE.flavors['fast'] = SITE.flavor('fast', {'microvisor:networks': 'blue', 'quota:vif_outbound_average': '12500', 'quota:cpu_shares': '512'}, ram=64)
        uuid = SITE.active(flavor='fast')
        instance = SITE.instance(uuid)
        self.assertEqual(instance['memory_mib'], 64)
        flavor = SITE.node.get(f'/v1/flavors/{instance["labels"]["nova.flavor"]}')
        self.assertEqual((flavor['send_mbit'], flavor['cpu_shares']), (100, 512))

    def test_a_server_on_demand_is_active_and_starts_with_its_first_packet(self):
        SITE.flavors['lazy'] = SITE.flavor('lazy', {'microvisor:networks': 'blue', 'microvisor:on_demand': '60'})
        uuid = SITE.active(flavor='lazy')
        self.assertEqual(SITE.instance(uuid)['state'], 'waiting')
        self.assertTrue(SITE.answers_ping(SITE.address(uuid)))
        self.assertEqual(SITE.instance(uuid)['state'], 'ready')

    def test_redis_is_an_image_as_well(self):
        uuid = SITE.active(image='redis', config=None, metadata={})
        said = run('ip', 'netns', 'exec', NAMESPACE, 'redis-cli', '-h', SITE.address(uuid), 'ping')
        self.assertEqual(said.stdout.strip(), 'PONG')

    def test_a_port_of_neutron_has_its_addresses_and_no_others(self):
        network = SITE.api.network.create_network(name='outside', provider_network_type='flat', provider_physical_network='outside')
        self.addCleanup(lambda: SITE.api.network.delete_network(network))
        SITE.api.network.create_subnet(network_id=network.id, ip_version=4, cidr=f'{OUTSIDE_SUBNET}.0/24', is_dhcp_enabled=False)
        port = SITE.api.network.create_port(network_id=network.id, mac_address='fa:16:3e:00:00:07', fixed_ips=[{'ip_address': f'{OUTSIDE_SUBNET}.7'}])
        self.addCleanup(lambda: SITE.api.network.delete_port(port))
        uuid = SITE.active(flavor='bare', networks=[{'port': port.id}])
        device = SITE.instance(uuid)['devices'][0]
        self.assertEqual((device['mac'], device['address'], device['prefix'], device['anti_spoofing']),
                         ('fa:16:3e:00:00:07', f'{OUTSIDE_SUBNET}.7', 24, True))
        self.assertEqual(device['gateway'], f'{OUTSIDE_SUBNET}.1')
        self.assertTrue(SITE.answers_ping(f'{OUTSIDE_SUBNET}.7'))
        self.assertEqual(SITE.api.network.get_port(port).status, 'ACTIVE')
        SITE.delete(uuid)
        self.assertNotIn(f'neutron-{network.id}', [n['name'] for n in SITE.node.get('/v1/networks')])

    def test_a_port_without_port_security_may_send_from_any_address(self):
        network = SITE.api.network.create_network(name='inside')
        self.addCleanup(lambda: SITE.api.network.delete_network(network))
        SITE.api.network.create_subnet(network_id=network.id, ip_version=4, cidr='10.99.0.0/24', is_dhcp_enabled=False)
        port = SITE.api.network.create_port(network_id=network.id, is_port_security_enabled=False)
        self.addCleanup(lambda: SITE.api.network.delete_port(port))
        uuid = SITE.active(flavor='tiny', networks=[{'port': port.id}])
        self.assertEqual([d['anti_spoofing'] for d in SITE.instance(uuid)['devices']], [False, True])

    def test_an_allowed_address_pair_allows_itself_and_nothing_else(self):
        network = SITE.api.network.create_network(name='outside', provider_network_type='flat', provider_physical_network='outside')
        self.addCleanup(lambda: SITE.api.network.delete_network(network))
        SITE.api.network.create_subnet(network_id=network.id, ip_version=4, cidr=f'{OUTSIDE_SUBNET}.0/24', is_dhcp_enabled=False)
        pair = {'ip_address': f'{OUTSIDE_SUBNET}.100'}
        port = SITE.api.network.create_port(network_id=network.id, fixed_ips=[{'ip_address': f'{OUTSIDE_SUBNET}.9'}],
                                            allowed_address_pairs=[pair])
        self.addCleanup(lambda: SITE.api.network.delete_port(port))
        # It answers for all of the subnet.
        config = PONG.replace('ARPResponder(eth0:ip', f'ARPResponder({OUTSIDE_SUBNET}.0/24')
        self.assertNotEqual(config, PONG)
        uuid = SITE.active(flavor='bare', config=config, networks=[{'port': port.id}])
        device = SITE.instance(uuid)['devices'][0]
        self.assertEqual(device['allowed_address_pairs'], [{'address': f'{OUTSIDE_SUBNET}.100/32', 'mac': device['mac']}])
        answers = [SITE.answers_ping(f'{OUTSIDE_SUBNET}.{host}') for host in (9, 100, 101)]
        self.assertEqual(answers, [True, True, False])
        SITE.delete(uuid)

    def test_placement_knows_what_the_host_has(self):
        provider, = SITE.api.placement.get('/resource_providers').json()['resource_providers']
        inventories = SITE.api.placement.get(f'/resource_providers/{provider["uuid"]}/inventories').json()['inventories']
        host = SITE.node.get('/v1/status')['host']
        self.assertEqual({kind: i['total'] for kind, i in inventories.items()}, {'VCPU': host['cpus'], 'MEMORY_MB': host['memory_mib']})
        traits = SITE.api.placement.get(f'/resource_providers/{provider["uuid"]}/traits', headers={'OpenStack-API-Version': 'placement 1.6'}).json()
        ours = {trait for trait in traits['traits'] if trait.startswith('CUSTOM')}
        self.assertEqual(ours, {'CUSTOM_MICROVISOR', 'CUSTOM_MICROVISOR_NETWORK_BLUE'})

    def test_a_timeline_goes_from_the_post_to_the_first_packet(self):
        uuid, request = SITE.create()
        SITE.becomes(uuid, 'ACTIVE')
        self.assertTrue(SITE.answers_ping(SITE.address(uuid)))

        def timeline():
            found = json.loads(SITE.microvisor('timeline', uuid, '--json'))
            return found if len(found.get('external', [])) >= 9 else None
        whole = eventually('all phases are there', timeline, 10)
        self.assertEqual(whole['request'], request)
        self.assertEqual({p['name'] for p in whole['external']},
                         {'api', 'scheduler', 'conductor', 'compute', 'spawn', 'finish', 'glance', 'neutron', 'driver'})
        self.assertEqual(whole['timeline']['spans'][-1]['phase'], 'first-packet')
        tree = SITE.microvisor('timeline', uuid)
        self.assertLess(tree.index('scheduler'), tree.index('configure'))

    def test_twenty_at_once_are_all_there(self):
        SITE.create(name='many', min_count=20, max_count=20)
        servers = eventually('twenty', lambda: (s := SITE.api.compute.get('/servers/detail').json()['servers']) and len(s) == 20 and s)
        for server in servers:
            SITE.becomes(server['id'], 'ACTIVE', seconds=120)
        addresses = {SITE.address(server['id']) for server in servers}
        self.assertEqual(len(addresses), 20)
        self.assertTrue(all(map(SITE.answers_ping, addresses)))

    def test_nova_compute_that_is_killed_leaves_nothing_behind(self):
        kept = SITE.active(name='kept')
        made = [SITE.create(name=f'caught-{n}')[0] for n in range(6)]
        eventually('one is being made', lambda: any(SITE.instance(uuid) for uuid in made), 30)
        SITE.kill_compute()
        # Deleted while nobody is there to do it.
        SITE.api.compute.delete(f'/servers/{made[0]}')
        SITE.compute()
        for uuid in made[1:]:
            SITE.becomes(uuid, 'ACTIVE', 'ERROR', seconds=120)
        self.assertTrue(SITE.answers_ping(SITE.address(kept)))
        self.assertEqual(SITE.becomes(kept, 'ACTIVE')['OS-EXT-STS:power_state'], 1)

    def test_an_instance_whose_server_is_not_there_is_ended(self):
        uuid = SITE.active()
        SITE.kill_compute()
        SITE.cloud.sql(f"UPDATE instances SET deleted = id, vm_state = 'deleted' WHERE uuid = '{uuid}'; "
                       f"DELETE FROM nova_api.instance_mappings WHERE instance_uuid = '{uuid}'", 'nova')
        SITE.compute()
        self.assertIsNone(SITE.instance(uuid))

    def test_a_node_that_is_killed_comes_back_with_its_servers(self):
        uuid = SITE.active()
        address = SITE.address(uuid)
        SITE.kill_node()
        service = lambda: next(s for s in SITE.api.compute.services() if s.binary == 'nova-compute')
        eventually('the service is disabled', lambda: service().status == 'disabled', 40)
        self.assertIn('does not answer', service().disabled_reason)
        self.assertTrue(SITE.answers_ping(address), 'guests go on without the daemon')
        SITE.start_node()
        eventually('the service is enabled', lambda: service().status == 'enabled', 20)
        self.assertTrue(SITE.answers_ping(SITE.address(SITE.active(name='next'))), 'servers are made at once')
        self.assertEqual(SITE.becomes(uuid, 'ACTIVE')['OS-EXT-STS:power_state'], 1)
        self.assertTrue(SITE.answers_ping(address))

    def test_diagnostics_count_packets(self):
        uuid = SITE.active()
        SITE.answers_ping(SITE.address(uuid))
        seen = SITE.api.compute.get(f'/servers/{uuid}/diagnostics', microversion='2.1').json()
        self.assertEqual(seen['memory'], 32 * 1024)
        self.assertGreater(min(seen['eth0_rx_packets'], seen['eth0_tx_packets']), 0)


if __name__ == '__main__':
    unittest.main(verbosity=2)
