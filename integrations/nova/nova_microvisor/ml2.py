"""Neutron's part: an ML2 mechanism driver that binds ports on MicroVisor hosts. `mechanism_drivers = ...,microvisor`.

Nothing of Neutron runs on such a host: nova-compute has the switch make the port. What that needs to know goes in the
binding's details.
"""

import fnmatch

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api
from oslo_config import cfg

cfg.CONF.register_opts([
    cfg.ListOpt('hosts', default=['*'], help='Hosts that are MicroVisor nodes, as nova-compute calls them; * and ? fit any characters.'),
], group='ml2_microvisor')

# Types of networks whose segments the switch can have.
TYPES = (constants.TYPE_LOCAL, constants.TYPE_FLAT, constants.TYPE_VLAN)


class MicroVisorMechanismDriver(api.MechanismDriver):
    def initialize(self):
        pass

    @property
    def connectivity(self):
        return portbindings.CONNECTIVITY_L2

    def bind_port(self, context):
        if not any(fnmatch.fnmatchcase(context.host, pattern) for pattern in cfg.CONF.ml2_microvisor.hosts):
            return
        port = context.current
        if port.get(portbindings.VNIC_TYPE, portbindings.VNIC_NORMAL) != portbindings.VNIC_NORMAL:
            return
        for segment in context.segments_to_bind:
            if segment[api.NETWORK_TYPE] in TYPES:
                details = {
                    portbindings.CAP_PORT_FILTER: False,
                    'microvisor_anti_spoofing': port.get('port_security_enabled', True),
                    'microvisor_allowed_address_pairs': [
                        {'address': pair['ip_address'], 'mac': pair['mac_address']} for pair in port.get('allowed_address_pairs') or ()],
                    'microvisor_physical_network': segment[api.PHYSICAL_NETWORK],
                    'microvisor_vlan': segment[api.SEGMENTATION_ID],
                }
                context.set_binding(segment[api.ID], portbindings.VIF_TYPE_OTHER, details, status=constants.PORT_STATUS_ACTIVE)
                return
