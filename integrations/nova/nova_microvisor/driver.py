"""MicroVisor for nova-compute: `compute_driver = nova_microvisor.driver.MicroVisorDriver`. It asks the node's API and nothing else.

An instance of Nova is an instance of the node whose name is the server's UUID. It stays there, with its addresses, from spawn
to destroy, whether it runs or not.
"""

import contextlib
import tempfile
import time

from nova import conf
from nova import context as nova_context
from nova import exception
from nova.image import glance
from nova import objects
from nova.objects import fields
from nova.virt import driver
from nova.virt import hardware
import os_resource_classes
from oslo_concurrency import lockutils
from oslo_log import log
from oslo_utils import uuidutils
from oslo_utils import versionutils

from nova_microvisor import client
from nova_microvisor import events
from nova_microvisor import options
from nova_microvisor import phases
from nova_microvisor import states
from nova_microvisor import requested

CONF = conf.CONF
LOG = log.getLogger(__name__)
options.register(CONF)

# Traits for flavors: trait:CUSTOM_MICROVISOR=required. One more for each network of the node's own.
TRAIT = 'CUSTOM_MICROVISOR'
TRAIT_PREPARED = f'{TRAIT}_PREPARED'


class MicroVisorDriver(driver.ComputeDriver):
    capabilities = dict(driver.ComputeDriver.capabilities, has_imagecache=True, supports_image_type_raw=True)

    def __init__(self, virtapi):
        super().__init__(virtapi)
        self.unrepeated = client.Client.configured(CONF)
        # Also for the host's resources: Nova asks for them while it builds a server, and gives it up without an answer.
        self.node = self.unrepeated.repeating(CONF.microvisor.repeat_s)
        self.images = glance.API()
        self.host = CONF.host
        self.acting = set()  # UUIDs of instances that Nova is changing itself
        self.unused_since = {}  # images and flavors of the node that no server has: name to time

    # The beginning.

    def init_host(self, host):
        self.host = host
        self._await_node()
        self._remove_orphans()
        events.Watch(self.unrepeated, host, self.acting, self.emit_event, self.virtapi.update_compute_provider_status).start()

    def _await_node(self):
        deadline = time.monotonic() + CONF.microvisor.connect_timeout
        while True:
            try:
                status = self.unrepeated.get('/v1/status')
            except (client.Unreachable, client.Problem) as e:
                if time.monotonic() > deadline:
                    LOG.error('No node answers: %s. Start one (microvisor-node), or set [microvisor] node and token.', e)
                    raise exception.HypervisorUnavailable(host=self.host) from e
                time.sleep(client.PAUSE)
            else:
                LOG.info('MicroVisor node %s, version %s', self.node.node, status['version'])
                return

    def _remove_orphans(self):
        """Ends instances whose servers were deleted, or never written down, while nobody looked."""
        context = nova_context.get_admin_context()
        ours = [instance['labels'][requested.UUID] for instance in self._ours()]
        orphans = [uuid for uuid in ours if not self._is_known(context, uuid)]
        share = CONF.microvisor.orphans_percent
        if requested.are_too_many(len(orphans), len(ours), share):
            LOG.error('Nova knows no servers for %d of %d instances on the node, more than %d%%: none is ended. If its database is '
                      'the right one, set [microvisor] orphans_percent = 100 and start nova-compute again.',
                      len(orphans), len(ours), share)
            return
        for uuid in orphans:
            LOG.warning('Server %s is no longer there: its instance on the node is ended', uuid)
            self._delete(uuid)

    @staticmethod
    def _is_known(context, uuid):
        try:
            objects.Instance.get_by_uuid(context, uuid)
            return True
        except exception.InstanceNotFound:
            return False

    def _ours(self):
        """Instances of the node that this nova-compute made."""
        return [i for i in self.node.instances() if i['labels'].get(requested.HOST) == self.host]

    def _find(self, uuid):
        try:
            return self.node.get(f'/v1/instances/{uuid}')
        except client.Problem as e:
            if e.kind != 'absent':
                raise
            raise exception.InstanceNotFound(instance_id=uuid) from e

    def _delete(self, uuid):
        try:
            self.node.delete(f'/v1/instances/{uuid}', force='true')
        except client.Problem as e:
            if e.kind != 'absent':
                raise

    # What the host has.

    def get_available_nodes(self, refresh=False):
        return [self.host]

    def get_available_resource(self, nodename):
        status = self.node.get('/v1/status')
        ours = self._ours()
        return {
            'hypervisor_hostname': nodename, 'hypervisor_type': 'microvisor',
            'hypervisor_version': versionutils.convert_version_to_int(status['version']),
            'vcpus': status['host']['cpus'], 'vcpus_used': len(ours),
            'memory_mb': status['host']['memory_mib'], 'memory_mb_used': sum(i['memory_mib'] for i in ours),
            'local_gb': 0, 'local_gb_used': 0, 'disk_available_least': 0,
            'cpu_info': '{}', 'numa_topology': None,
            # Nova knows hypervisors by these names only.
            'supported_instances': [(fields.Architecture.X86_64, fields.HVType.KVM, fields.VMMode.HVM)],
        }

    def update_provider_tree(self, provider_tree, nodename, allocations=None):
        status = self.node.get('/v1/status')
        ratios = self._get_allocation_ratios(provider_tree.data(nodename).inventory)
        # Guests have no disk, so there is no inventory of one.
        totals = {
            os_resource_classes.VCPU: (status['host']['cpus'], CONF.reserved_host_cpus),
            os_resource_classes.MEMORY_MB: (status['host']['memory_mib'], CONF.reserved_host_memory_mb),
        }
        provider_tree.update_inventory(nodename, {
            kind: {'total': total, 'min_unit': 1, 'max_unit': total, 'step_size': 1, 'reserved': min(reserved, total),
                   'allocation_ratio': ratios[kind]}
            for kind, (total, reserved) in totals.items()})
        wanted = self._traits(status)
        stale = {trait for trait in provider_tree.data(nodename).traits if trait.startswith(TRAIT)} - wanted
        provider_tree.add_traits(nodename, *wanted)
        provider_tree.remove_traits(nodename, *stale)

    def _traits(self, status):
        networks = [network['name'] for network in self.node.get('/v1/networks')]
        own = {requested.network_trait(name) for name in networks if not name.startswith(requested.network_name(''))}
        return {TRAIT, *own} | ({TRAIT_PREPARED} if status['prepared_target'] else set())

    def get_host_uptime(self):
        seconds = self.node.get('/v1/status')['host']['uptime_s']
        return f'up {seconds // 86400} days, {seconds // 3600 % 24}:{seconds // 60 % 60:02}'

    # An instance comes and goes.

    def spawn(self, context, instance, image_meta, injected_files, admin_password, allocations, network_info=None,
              block_device_info=None, power_on=True, accel_info=None):
        timed = phases.Timed()
        try:
            with timed('glance'):
                image = self._image(context, image_meta.id)
                text = requested.config(instance, lambda: self._config_property(context, image_meta.id))
            with timed('neutron'):
                ports = list(network_info or [])  # waits until Neutron has made and bound them
            size = requested.flavor(instance.flavor)
            spec = requested.instance_spec(instance, image, size, text, ports, phases.nanoseconds(str(context.timestamp)))
        except requested.Invalid as e:
            raise exception.BuildAbortException(instance_uuid=instance.uuid, reason=str(e)) from e
        with self._act(instance):
            with timed('driver'):
                self._create(context, instance, spec, size, ports, power_on)
            if power_on and 'on_demand' not in spec:
                self._tell_phases(instance, timed)

    @contextlib.contextmanager
    def _act(self, instance):
        """What the node tells of an instance meanwhile is no news to Nova, and looking at it costs as much as the whole start."""
        self.acting.add(instance.uuid)
        try:
            yield
        finally:
            self.acting.discard(instance.uuid)

    def _create(self, context, instance, spec, size, ports, power_on):
        # A build that nova-compute did not live to finish may have left one.
        self._delete(instance.uuid)
        try:
            if size:
                self._put('/v1/flavors', size)
            query = {} if power_on else {'defer': 'true'}
            key = uuidutils.generate_uuid()
            for attempt in (1, 2):
                for vif in ports:
                    self._put('/v1/networks', requested.port_network(vif, CONF.microvisor.physical_networks))
                try:
                    made = self.node.post('/v1/instances', spec, context.request_id, key, **query)
                    break
                except client.Problem as e:
                    # The last other instance of a network went meanwhile, and the network with it.
                    if e.kind != 'absent' or attempt == 2 or not ports:
                        raise
        except client.Problem as e:
            LOG.warning('The node refused: %s', e, instance=instance)
            with contextlib.suppress(client.Problem, client.Unreachable):
                self._withdraw(instance.uuid, ports)
            raise states.build_failure(instance, e) from e
        except client.Unreachable as e:
            LOG.error('%s', e, instance=instance)
            raise exception.HypervisorUnavailable(host=self.host) from e
        if made['state'] == 'failed':
            # The first answer, which is a problem, was lost.
            with contextlib.suppress(client.Problem, client.Unreachable):
                self._withdraw(instance.uuid, ports)
            raise exception.BuildAbortException(instance_uuid=instance.uuid, reason=made.get('reason') or 'it failed')

    def _put(self, path, body):
        """Makes a flavor or a network, unless it is there."""
        try:
            self.node.post(path, body)
        except client.Problem as e:
            if e.kind != 'taken':
                raise

    def _withdraw(self, uuid, ports):
        self._delete(uuid)
        for vif in ports:
            try:
                self.node.delete(f'/v1/networks/{requested.network_name(vif["network"]["id"])}')
            except client.Problem as e:
                if e.kind not in ('absent', 'conflict'):  # conflict: other instances are on it
                    raise

    def _tell_phases(self, instance, timed):
        try:
            self.unrepeated.post(f'/v1/instances/{instance.uuid}/timeline/phases', timed.phases)
        except (client.Problem, client.Unreachable) as e:
            LOG.warning('The timeline lacks the phases of nova-compute: %s', e, instance=instance)

    def destroy(self, context, instance, network_info, block_device_info=None, destroy_disks=True, destroy_secrets=True):
        try:
            with self._act(instance):
                self._withdraw(instance.uuid, network_info or [])
        except client.Problem as e:
            raise exception.InstanceTerminationFailure(reason=str(e)) from e
        except client.Unreachable as e:
            raise exception.HypervisorUnavailable(host=self.host) from e

    def cleanup(self, context, instance, network_info, block_device_info=None, destroy_disks=True, migrate_data=None,
                destroy_vifs=True, destroy_secrets=True):
        self.destroy(context, instance, network_info, block_device_info)

    def rebuild(self, context, instance, image_meta, injected_files, admin_password, allocations, bdms,
                detach_block_devices, attach_block_devices, network_info=None, evacuate=False, block_device_info=None,
                preserve_ephemeral=False, accel_uuids=None, reimage_boot_volume=False):
        """Another configuration of the same image runs at once, without a packet lost; all else is destroy and spawn."""
        if not (evacuate or preserve_ephemeral or reimage_boot_volume) and self._reconfigure(context, instance, image_meta):
            instance.task_state = 'rebuild_spawning'
            instance.save(expected_task_state=['rebuilding'])
            return
        raise NotImplementedError()  # Nova's own way, which calls destroy and spawn

    def _reconfigure(self, context, instance, image_meta):
        try:
            running = self._find(instance.uuid)
            text = requested.config(instance, lambda: self._config_property(context, image_meta.id))
            same = running['image'] == requested.image_name(image_meta.id)
            same = same and running['labels'].get(requested.VARIABLES) == requested.variables_label(instance)
            if not same or text is None or running['state'] != 'ready':
                return False
            self.node.put(f'/v1/instances/{instance.uuid}/config', {'config': text}, context.request_id)
            return True
        except exception.InstanceNotFound:
            return False
        except (requested.Invalid, client.Problem) as e:
            # What runs goes on, and so the server is what it was.
            refused = exception.InstanceUnacceptable(instance_id=instance.uuid, reason=str(e))
            raise exception.InstanceFaultRollback(refused) from e

    # It runs, waits, stops.

    # share_info: releases after Zed pass it, and guests have no file systems to share.

    def power_on(self, context, instance, network_info, block_device_info=None, accel_info=None, share_info=None):
        try:
            state = self._find(instance.uuid)['state']
        except exception.InstanceNotFound:
            # The node has lost its store, or is another one.
            self.spawn(context, instance, instance.image_meta, [], None, {}, network_info)
            return
        if state in ('stopped', 'failed'):
            self._do(instance, 'start', exception.InstancePowerOnFailure, context.request_id)

    def power_off(self, instance, timeout=0, retry_interval=0):
        state = self._find(instance.uuid)['state']
        # One that has failed may wait to be started again, which ends now.
        if state == 'stopped':
            return
        try:
            self._do(instance, 'stop', exception.InstancePowerOffFailure, grace_ms=min(timeout * 1000, 600000))
        except exception.InstancePowerOffFailure:
            # It has stayed failed since nobody wanted it to run.
            if self._find(instance.uuid)['state'] not in ('stopped', 'failed'):
                raise

    def reboot(self, context, instance, network_info, reboot_type, block_device_info=None, bad_volumes_callback=None,
               accel_info=None, share_info=None):
        try:
            state = self._find(instance.uuid)['state']
        except exception.InstanceNotFound:
            self.power_on(context, instance, network_info)
            return
        if state in ('stopped', 'failed'):
            self._do(instance, 'start', exception.InstanceRebootFailure, context.request_id)
        elif state != 'waiting':
            grace = CONF.microvisor.reboot_grace_ms if reboot_type == 'SOFT' else 0
            self._do(instance, 'reboot', exception.InstanceRebootFailure, context.request_id, grace_ms=grace)

    def resume_state_on_host_boot(self, context, instance, network_info, *_, **__):
        self.power_on(context, instance, network_info)

    def pause(self, instance):
        self._do(instance, 'pause', exception.InstanceUnacceptable)

    def unpause(self, instance):
        self._do(instance, 'resume', exception.InstanceUnacceptable)

    def _do(self, instance, verb, failure, request_id=None, **query):
        try:
            with self._act(instance):
                became = self._ask(instance.uuid, verb, request_id, query)
        except client.Problem as e:
            raise failure(instance_id=instance.uuid, reason=str(e)) from e
        except client.Unreachable as e:
            raise exception.HypervisorUnavailable(host=self.host) from e
        if became['state'] == 'failed':
            raise failure(instance_id=instance.uuid, reason=became.get('reason') or 'it failed')

    def _ask(self, uuid, verb, request_id, query):
        """What the instance became. A request whose first answer was lost may find it done."""
        try:
            return self.node.post(f'/v1/instances/{uuid}/{verb}', request_id=request_id, **query)
        except client.Problem as e:
            if e.kind != 'conflict':
                raise
            deadline = time.monotonic() + CONF.microvisor.timeout
            while (seen := self._find(uuid))['state'] in states.ON_THE_WAY and time.monotonic() < deadline:
                time.sleep(client.PAUSE)
            if seen['state'] not in states.REACHED.get(verb, ()):
                raise
            return seen

    # What Nova wants to know.

    def get_info(self, instance, use_cache=True):
        try:
            return hardware.InstanceInfo(state=states.power(self._find(instance.uuid)))
        except client.Unreachable as e:
            raise exception.HypervisorUnavailable(host=self.host) from e

    def list_instances(self):
        return [i['labels'][requested.NAME] for i in self._ours()]

    def list_instance_uuids(self):
        return [i['labels'][requested.UUID] for i in self._ours()]

    def get_console_output(self, context, instance):
        text = self.node.get(f'/v1/instances/{instance.uuid}/console')
        return text.encode().decode('latin-1')  # Nova encodes it that way

    def get_diagnostics(self, instance):
        """As libvirt names them. There is no get_instance_diagnostics: its object takes only drivers that Nova knows by name."""
        seen = self._find(instance.uuid)
        found = {'memory': seen['memory_mib'] * 1024}
        ports = {port['name']: port['counters'] for port in self.node.get('/v1/switch')['ports']}
        for number, device in enumerate(seen['devices']):
            counted = ports.get(device['port'])
            if counted:
                # What the switch sends the guest receives.
                found |= {f'eth{number}_rx': counted['sent_bytes'], f'eth{number}_rx_packets': counted['sent'],
                          f'eth{number}_tx': counted['received_bytes'], f'eth{number}_tx_packets': counted['received']}
        return found

    # Its ports are the switch's from spawn to destroy, across restarts of all: there is nothing to plug again.

    def plug_vifs(self, instance, network_info):
        pass

    def unplug_vifs(self, instance, network_info):
        pass

    # Images.

    def _image(self, context, image_id):
        """The node's name of a Glance image, which the node is given if it has it not."""
        name = requested.image_name(image_id)
        with lockutils.lock(name):
            try:
                self.node.get(f'/v1/images/{name}')
                return name
            except client.Problem as e:
                if e.kind != 'absent':
                    raise states.image_failure(image_id, e) from e
            with tempfile.TemporaryFile() as content:
                bounded = requested.Bounded(content, CONF.microvisor.image_maximum_mib << 20)
                try:
                    self.images.download(context, image_id, data=bounded)
                    content.seek(0)
                    self._put_image(name, content)
                except requested.Invalid as e:
                    raise exception.ImageUnacceptable(image_id=image_id, reason=str(e)) from e
                except client.Problem as e:
                    raise states.image_failure(image_id, e) from e
        return name

    def _put_image(self, name, content):
        try:
            self.node.call('POST', '/v1/images', content, query={'name': name})
        except client.Problem as e:
            if e.kind != 'taken':
                raise

    def _config_property(self, context, image_id):
        return self.images.get(context, image_id)['properties'].get(requested.CONFIG_PROPERTY)

    def cache_image(self, context, image_id):
        try:
            self.node.get(f'/v1/images/{requested.image_name(image_id)}')
            return False
        except client.Problem:
            self._image(context, image_id)
            return True

    def manage_image_cache(self, context, all_instances):
        """Removes images and flavors that no server has, if Nova is told to remove unused images."""
        if not CONF.image_cache.remove_unused_base_images:
            return
        used = {requested.image_name(i.image_ref) for i in all_instances if i.image_ref}
        used |= {i['labels'].get(requested.SIZE) for i in self.node.instances()}
        now = time.time()
        for kind, prefix in (('images', 'glance-'), ('flavors', 'nova-')):
            names = [thing['name'] for thing in self.node.get(f'/v1/{kind}')]
            for name in names:
                if not name.startswith(prefix) or name in used:
                    self.unused_since.pop(name, None)
                elif now - self.unused_since.setdefault(name, now) > CONF.image_cache.remove_unused_original_minimum_age_seconds:
                    LOG.info('%s is used by no server and removed from the node', name)
                    with contextlib.suppress(client.Problem):
                        self.node.delete(f'/v1/{kind}/{name}')
                    del self.unused_since[name]
