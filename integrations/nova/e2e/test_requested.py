"""What Nova asks for, as the node's API takes it; Nova's moments as phases."""

import base64
import sys
import tempfile
import types
import unittest

from cloud import BUILD, Cloud

Cloud().install_driver()
sys.path.insert(0, str(BUILD))
from nova_microvisor import phases, requested  # noqa: E402: as installed


def flavor(specs=None, vcpus=1, memory_mb=32):
    return types.SimpleNamespace(extra_specs=specs or {}, vcpus=vcpus, memory_mb=memory_mb)


def server(**more):
    given = {'uuid': 'u', 'name': 'instance-1', 'host': 'h', 'project_id': 'p', 'metadata': {}, 'system_metadata': {}, 'user_data': None,
             'flavor': flavor()}
    return types.SimpleNamespace(**{**given, **more})


class Flavors(unittest.TestCase):
    def test_one_that_says_nothing_is_none(self):
        self.assertIsNone(requested.flavor(flavor()))

    def test_equal_ones_have_one_name_and_others_another(self):
        names = [requested.flavor(flavor({'quota:cpu_shares': shares}))['name'] for shares in ('512', '512', '513')]
        self.assertEqual(names[0], names[1])
        self.assertNotEqual(names[0], names[2])

    def test_more_processors_are_more_shares(self):
        self.assertEqual(requested.flavor(flavor(vcpus=2))['cpu_shares'], 2048)

    def test_nonsense_is_refused_with_its_key(self):
        for key, value in (('quota:cpu_shares', 'many'), ('quota:vif_outbound_average', '-1'), ('microvisor:prepared', '?'), ('microvisor:queue', 'nan')):
            with self.assertRaisesRegex(requested.Invalid, key):
                requested.flavor(flavor({key: value}))


class Ports(unittest.TestCase):
    PAIRS = [{'address': '10.0.0.100', 'mac': 'fa:16:3e:00:00:07'}, {'address': '10.1.0.0/16', 'mac': '02:00:00:00:00:09'}]

    @staticmethod
    def device(**details):
        subnets = [{'version': version, 'cidr': cidr, 'gateway': None, 'ips': [{'address': address} for address in addresses]}
                   for version, cidr, addresses in ((4, '10.0.0.0/24', ('10.0.0.7', '10.0.0.8')), (6, 'fd00::/64', ('fd00::7', 'fd00::8')))]
        return requested.port_device({'network': {'id': 'n', 'subnets': subnets}, 'address': 'fa:16:3e:00:00:07', 'details': details})

    def test_further_fixed_addresses_and_pairs_are_allowed_and_nothing_else(self):
        device = self.device(microvisor_anti_spoofing=True, microvisor_allowed_address_pairs=self.PAIRS)
        self.assertEqual((device['address'], device['prefix'], device['anti_spoofing']), ('10.0.0.7', 24, True))
        self.assertEqual((device['address6'], device['prefix6']), ('fd00::7', 64))
        self.assertEqual(device['allowed_address_pairs'], [*self.PAIRS, {'address': '10.0.0.8'}, {'address': 'fd00::8'}])

    def test_without_port_security_there_is_nothing_to_allow(self):
        self.assertNotIn('allowed_address_pairs', self.device(microvisor_anti_spoofing=False))


class PhysicalNetworks(unittest.TestCase):
    @staticmethod
    def uplink(interfaces, **details):
        class Network(dict):
            @staticmethod
            def get_meta(_):
                return None
        vif = {'network': Network(id='n'), 'details': {f'microvisor_{key}': value for key, value in details.items()}}
        return requested.port_network(vif, interfaces).get('uplink')

    def test_a_vlan_shares_the_interface_or_has_one_of_its_own(self):
        shared = {'physnet1': 'eth1', 'physnet1.100': 'eth1.100'}
        self.assertEqual(self.uplink(shared, physical_network='physnet1'), {'interfaces': ['eth1']})
        self.assertEqual(self.uplink(shared, physical_network='physnet1', vlan=200), {'interfaces': ['eth1'], 'vlan': 200})
        self.assertEqual(self.uplink(shared, physical_network='physnet1', vlan=100), {'interfaces': ['eth1.100']})
        self.assertIsNone(self.uplink(shared, physical_network='physnet2', vlan=100))
        self.assertIsNone(self.uplink(shared))


class Configurations(unittest.TestCase):
    def test_user_data_comes_before_the_property(self):
        data = base64.b64encode('a -> b'.encode()).decode()
        meta = {'image_microvisor_config': 'c -> d'}
        self.assertEqual(requested.config(server(user_data=data, system_metadata=meta), None), 'a -> b')
        self.assertEqual(requested.config(server(system_metadata=meta), None), 'c -> d')
        self.assertIsNone(requested.config(server(), None))

    def test_a_property_that_nova_cut_off_is_asked_for(self):
        self.assertEqual(requested.config(server(system_metadata={'image_microvisor_config': 'x' * 255}), lambda: 'whole'), 'whole')

    def test_user_data_that_is_no_text_is_refused(self):
        for data in (base64.b64encode(b'\xff\xfe').decode(), 'no base64'):
            with self.assertRaises(requested.Invalid):
                requested.config(server(user_data=data), None)


class Images(unittest.TestCase):
    def test_one_that_is_too_long_is_not_written_down(self):
        with tempfile.TemporaryFile() as file:
            bounded = requested.Bounded(file, 1 << 20)
            bounded.write(b'x' * (1 << 20))
            with self.assertRaisesRegex(requested.Invalid, '1 MiB'):
                bounded.write(b'x')
            self.assertEqual(file.seek(0, 2), 1 << 20)


class Orphans(unittest.TestCase):
    def test_a_database_that_knows_few_of_many_is_the_wrong_one(self):
        self.assertFalse(requested.are_too_many(0, 0, 50))
        self.assertFalse(requested.are_too_many(1, 1, 50))
        self.assertFalse(requested.are_too_many(5, 10, 50))
        self.assertTrue(requested.are_too_many(6, 10, 50))
        self.assertTrue(requested.are_too_many(2, 2, 50))
        self.assertFalse(requested.are_too_many(10, 10, 100))


class Phases(unittest.TestCase):
    def test_timestamps_of_both_kinds(self):
        self.assertEqual(phases.nanoseconds('1970-01-01T00:00:01.000002'), 1_000_002_000)
        self.assertEqual(phases.nanoseconds('1970-01-01 00:00:01.000002Z'), 1_000_002_000)

    def test_states_are_moments(self):
        def update(old, new, task):
            return {'state_update': {'nova_object.data': {'old_state': old, 'state': new, 'new_task_state': task}}}
        self.assertEqual(phases.moment('instance.update', update('building', 'building', 'spawning')), 'task.spawning')
        self.assertEqual(phases.moment('instance.update', update('building', 'active', None)), 'state.active')
        self.assertEqual(phases.moment('instance.create.end', {}), 'instance.create.end')

    def test_what_was_not_seen_has_no_phase(self):
        found = phases.phases({'instance.create.start': 10, 'task.spawning': 30, 'state.active': 70})
        self.assertEqual([(p['name'], p['end_unix_ns'] - p['start_unix_ns']) for p in found], [('compute', 20), ('spawn', 40)])


if __name__ == '__main__':
    unittest.main()
