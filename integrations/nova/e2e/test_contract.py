"""Nova's own tests for compute drivers, which come with python3-nova, on this driver and a real node."""

import unittest

from place import Site

SITE = Site()


def setUpModule():
    unittest.addModuleCleanup(SITE.down_node)
    SITE.up_node()


def load_tests(loader, standard, pattern):
    SITE.cloud.prepare()
    from nova.tests.unit.virt import test_virt_drivers
    from nova_microvisor import driver

    class Contract(test_virt_drivers.AbstractDriverTestCase):
        driver_module = f'{driver.__name__}.MicroVisorDriver'

        def setUp(self):
            self.flags(node=f'unix://{SITE.socket}', group='microvisor')
            # Their Glance has no guest in it.
            self.stub_out('nova_microvisor.driver.MicroVisorDriver._image', lambda *_: 'redis')
            self.stub_out('nova_microvisor.events.Watch.start', lambda *_: None)
            super().setUp()
            self.addCleanup(self.remove_all)

        def remove_all(self):
            for instance in SITE.node.instances():
                SITE.node.delete(f'/v1/instances/{instance["id"]}', force='true')

    return loader.loadTestsFromTestCase(Contract)
