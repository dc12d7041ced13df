"""What Nova asks for, as the node's API takes it. Everything here is a function of Nova's objects: nothing is asked of anybody.

| of Nova | on the node |
|---|---|
| server: UUID | instance: name; the labels below say whose it is |
| image | image glance-UUID |
| user data, or else the image's property microvisor_config | configuration: a Click file |
| metadata microvisor:var:NAME | variable NAME |
| flavor: RAM | memory |
| flavor: vCPUs; quota:cpu_shares | share of the processors, 1024 for each |
| quota:vif_outbound_average, quota:vif_inbound_average, kB/s | send and receive rate of each device |
| microvisor:queue, microvisor:poll_us, microvisor:prepared | the same of a flavor |
| microvisor:on_demand, seconds; microvisor:restart | the same of an instance |
| ports | devices on networks neutron-UUID |
| microvisor:networks; microvisor:anti_spoofing | further devices, on networks of the node's own |
"""

import base64
import hashlib
import json
import re

# Labels of an instance that Nova asked for.
UUID, NAME, HOST, PROJECT, SIZE, VARIABLES, REQUESTED = (
    f'nova.{word}' for word in ('uuid', 'name', 'host', 'project', 'flavor', 'variables', 'requested'))

CONFIG_PROPERTY = 'microvisor_config'
# Nova keeps so many characters of a property with the server.
PROPERTY_KEPT = 255
VARIABLE_PREFIX = 'microvisor:var:'
SHARES = 1024


class Invalid(Exception):
    """An extra spec, a property or a port says what no node can do."""


class Bounded:
    """A file that takes so many bytes, and no more."""

    def __init__(self, file, maximum):
        self.file, self.maximum, self.written = file, maximum, 0

    def write(self, data):
        self.written += len(data)
        if self.written > self.maximum:
            raise Invalid(f'the image is longer than {self.maximum >> 20} MiB')
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)


def are_too_many(orphans, all_instances, percent):
    """Whether so many instances without a server say that Nova's database is the wrong one. A single one never does."""
    return orphans > 1 and orphans * 100 > all_instances * percent


def image_name(image_id):
    return f'glance-{image_id}'


def network_name(network_id):
    return f'neutron-{network_id}'


def network_trait(name):
    """Traits have capitals, digits and underscores."""
    return 'CUSTOM_MICROVISOR_NETWORK_' + re.sub('[^A-Z0-9]', '_', name.upper())


def _number(specs, key, kind):
    if key not in specs:
        return None
    try:
        value = kind(specs[key])
    except ValueError:
        value = 0
    if not 0 < value < float('inf'):
        raise Invalid(f'extra spec {key}: {specs[key]!r} is no number above 0')
    return value


def _switch(specs, key):
    if key not in specs:
        return None
    value = specs[key].strip().lower()
    if value not in ('on', 'off', 'true', 'false', 'yes', 'no'):
        raise Invalid(f'extra spec {key}: {specs[key]!r} is neither on nor off')
    return value in ('on', 'true', 'yes')


def flavor(of_nova):
    """The node's flavor, under a name that says what is in it; None if it would say nothing."""
    specs = of_nova.extra_specs or {}

    def mbit(key):
        kilobytes = _number(specs, key, float)
        return None if kilobytes is None else kilobytes * 8 / 1000

    size = {
        'cpu_shares': _number(specs, 'quota:cpu_shares', int) or (of_nova.vcpus * SHARES if of_nova.vcpus > 1 else None),
        'send_mbit': mbit('quota:vif_outbound_average'),
        'receive_mbit': mbit('quota:vif_inbound_average'),
        'queue': _number(specs, 'microvisor:queue', int),
        'poll_us': _number(specs, 'microvisor:poll_us', int),
        'prepared': _switch(specs, 'microvisor:prepared'),
    }
    size = {key: value for key, value in size.items() if value is not None}
    if not size:
        return None
    digest = hashlib.sha256(json.dumps(size, sort_keys=True).encode()).hexdigest()
    return {'name': f'nova-{digest[:16]}', **size}


def variables(instance):
    found = {key[len(VARIABLE_PREFIX):]: value for key, value in instance.metadata.items() if key.startswith(VARIABLE_PREFIX)}
    if '' in found:
        raise Invalid(f'metadata {VARIABLE_PREFIX}: a variable has a name')
    return found


def variables_label(instance):
    """All variables as one text, to see whether they have changed."""
    return json.dumps(variables(instance), sort_keys=True)


def config(instance, whole_property):
    """The configuration's text, or None. `whole_property()` asks Glance for a text that Nova has cut off."""
    if instance.user_data:
        try:
            return base64.b64decode(instance.user_data).decode()
        except ValueError as e:
            raise Invalid(f'the user data is no text: {e}') from e
    text = instance.system_metadata.get(f'image_{CONFIG_PROPERTY}')
    return whole_property() if text is not None and len(text) >= PROPERTY_KEPT else text


def port_network(vif, interfaces):
    """The node's network of a port. `interfaces` are the host's, by physical network."""
    network = {'name': network_name(vif['network']['id']), 'mtu': vif['network'].get_meta('mtu') or 1500}
    details = vif['details'] or {}
    physical, vlan = details.get('microvisor_physical_network'), details.get('microvisor_vlan')
    if physical and vlan is not None and f'{physical}.{vlan}' in interfaces:
        # An interface of the VLAN alone: the host tags.
        network['uplink'] = {'interfaces': [interfaces[f'{physical}.{vlan}']]}
    elif physical in interfaces:
        network['uplink'] = {'interfaces': [interfaces[physical]]}
        if vlan is not None:
            network['uplink']['vlan'] = vlan
    return network


def port_device(vif):
    """A device that is a port of Neutron: its MAC address and its first fixed address of each family. What else it has is allowed."""
    details = vif['details'] or {}
    device = {
        'network': network_name(vif['network']['id']),
        'mac': vif['address'],
        'anti_spoofing': details.get('microvisor_anti_spoofing', True),
    }
    allowed = list(details.get('microvisor_allowed_address_pairs') or ())
    for subnet in vif['network']['subnets']:
        family = '' if subnet['version'] == 4 else '6'
        for ip in subnet['ips']:
            if 'address' + family in device:
                allowed.append({'address': ip['address']})
                continue
            device['address' + family] = ip['address']
            device['prefix' + family] = int(subnet['cidr'].rpartition('/')[2])
            gateway = subnet['gateway'] and subnet['gateway']['address']
            if gateway and gateway != ip['address']:
                device['gateway' + family] = gateway
    if device['anti_spoofing'] and allowed:
        device['allowed_address_pairs'] = allowed
    return device


def named_devices(of_nova):
    """Devices on networks of the node's own, as the flavor names them."""
    specs = of_nova.extra_specs or {}
    anti_spoofing = _switch(specs, 'microvisor:anti_spoofing')
    names = [name.strip() for name in specs.get('microvisor:networks', '').split(',')]
    more = {} if anti_spoofing is None else {'anti_spoofing': anti_spoofing}
    return [{'network': name, **more} for name in names if name]


def instance_spec(instance, image, size, text, ports, requested):
    """What POST /v1/instances takes. `requested`: when Nova was asked, nanoseconds since 1970."""
    specs = instance.flavor.extra_specs or {}
    spec = {
        'name': instance.uuid,
        'image': image,
        'memory_mib': instance.flavor.memory_mb,
        'variables': variables(instance),
        'devices': [port_device(vif) for vif in ports] + named_devices(instance.flavor),
        'restart': specs.get('microvisor:restart', 'never'),
        'labels': {
            UUID: instance.uuid, NAME: instance.name, HOST: instance.host or '', PROJECT: instance.project_id or '',
            SIZE: size['name'] if size else '', VARIABLES: variables_label(instance),
            REQUESTED: str(requested),
        },
    }
    if text is not None:
        spec['config'] = text
    if size:
        spec['flavor'] = size['name']
    if idle := _number(specs, 'microvisor:on_demand', int):
        spec['on_demand'] = {'idle_s': idle}
    return spec
