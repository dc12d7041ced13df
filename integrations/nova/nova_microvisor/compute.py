"""nova-microvisor-compute: nova-compute, which also finds drivers that are outside Nova's tree.

Nova looks for `compute_driver` under `nova.virt` only. This makes the package known there, as the same modules, and goes on as nova-compute.
"""

import sys

from nova.cmd import compute  # first of all: it patches the standard library where Nova wants that
import nova.virt


def main():
    from nova_microvisor import driver

    package = sys.modules['nova_microvisor']
    nova.virt.nova_microvisor = package
    sys.modules['nova.virt.nova_microvisor'] = package
    sys.modules['nova.virt.nova_microvisor.driver'] = driver
    sys.argv[0] = 'nova-compute'
    return compute.main()


if __name__ == '__main__':
    sys.exit(main())
