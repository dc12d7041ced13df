"""Settings, in the section [microvisor] of nova.conf."""

from oslo_config import cfg

GROUP = cfg.OptGroup('microvisor', title='MicroVisor', help='The MicroVisor node that nova-compute starts instances on.')

OPTIONS = [
    cfg.StrOpt('node', default='unix:///run/microvisor/node/api.sock',
               help='Where the node answers: unix:///PATH of its socket, or https://HOST:PORT (http:// on this host only).'),
    cfg.StrOpt('token', secret=True,
               help='Token for a node over TCP, of the role admin: microvisor token create nova --role admin.'),
    cfg.StrOpt('ca_file', help='PEM file of the authority that the certificate of the node is checked against.'),
    cfg.IntOpt('timeout', default=45, min=1,
               help='Seconds that a request to the node may take. Less than graceful_shutdown_timeout of nova-compute, which is '
                    '60, or a request is cut off when nova-compute ends.'),
    cfg.IntOpt('image_maximum_mib', default=256, min=1,
               help='Longest image that is fetched from Glance, MiB. A node takes no longer one than 256.'),
    cfg.IntOpt('orphans_percent', default=50, min=0, max=100,
               help='When nova-compute starts, instances whose servers Nova does not know are ended, unless there are several of '
                    'them and they are more than this share of all: the database of Nova may be empty, or an old one. 100 ends '
                    'them all the same.'),
    cfg.IntOpt('repeat_s', default=20, min=0,
               help='Seconds for which a request is repeated when the node does not answer, or ends before it has: an upgrade '
                    'of the node is not seen by the users of Nova.'),
    cfg.IntOpt('connect_timeout', default=30, min=0, deprecated_name='connect_patience',
               help='Seconds that nova-compute waits for the node when it starts.'),
    cfg.IntOpt('reboot_grace_ms', default=2000, min=0, max=600000,
               help='Milliseconds that a guest has for a soft reboot.'),
    cfg.DictOpt('physical_networks', default={},
                help='Interfaces of the host that lead to the physical networks of Neutron: physnet1:eth1. Networks of '
                     'type vlan share the interface, and the switch tags their frames; an interface of one VLAN, '
                     'physnet1.100:eth1.100, comes first.'),
]


def register(conf):
    conf.register_group(GROUP)
    conf.register_opts(OPTIONS, GROUP)


def list_opts():
    """For oslo-config-generator."""
    return [(GROUP, OPTIONS)]
