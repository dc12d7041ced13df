"""Where the time of an instantiation goes, in Nova's own words. The general model and what these names are in it:
`microvisor-bench fig10 fig11`, and node/src/phases.rs."""

import collections
import contextlib
import datetime
import time

SOURCE = 'nova'

# A phase of Nova lasts from one of its moments to another. Moments are what `moment` makes of versioned notifications, and
# `request`: when nova-api made the request's context, its token validated. The context carries that to the driver, which labels the
# instance with it.
Phase = collections.namedtuple('Phase', 'name begin end what')
PHASES = (
    Phase('api', 'request', 'scheduler.select_destinations.start', 'nova-api checks and records; nova-conductor gets the message; nova-scheduler asks Placement for candidates'),
    Phase('scheduler', 'scheduler.select_destinations.start', 'scheduler.select_destinations.end',
          'nova-scheduler chooses a host and has Placement claim it'),
    Phase('conductor', 'scheduler.select_destinations.end', 'instance.create.start',
          'nova-conductor writes the instance into its cell; nova-compute gets the message'),
    Phase('compute', 'instance.create.start', 'task.spawning', 'nova-compute claims resources, starts the allocation of ports'),
    Phase('spawn', 'task.spawning', 'state.active', 'nova-compute and the driver'),
    Phase('finish', 'state.active', 'instance.create.end', 'nova-compute writes that it is done'),
)
# What the driver times itself, within `spawn`.
OF_DRIVER = {
    'glance': 'the image, and the configuration if that is a property',
    'neutron': 'the rest of the time that ports take',
    'driver': 'the request to the node, answered when the guest is ready',
}


def external(name, start_ns, end_ns):
    """A phase, as the node's API takes it."""
    return {'source': SOURCE, 'name': name, 'start_unix_ns': start_ns, 'end_unix_ns': max(start_ns, end_ns)}


class Timed:
    """Times phases on the clock that notifications have as well."""

    def __init__(self):
        self.phases = []

    @contextlib.contextmanager
    def __call__(self, name):
        start = time.time_ns()
        yield
        self.phases.append(external(name, start, time.time_ns()))


def nanoseconds(timestamp):
    """From the timestamps of notifications and contexts: UTC, with microseconds, with or without a zone."""
    when = datetime.datetime.fromisoformat(timestamp.replace('Z', '+00:00'))
    when = when.replace(tzinfo=when.tzinfo or datetime.timezone.utc)
    since = when - datetime.datetime.fromtimestamp(0, datetime.timezone.utc)
    return (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000


def moment(event_type, payload):
    """What a notification marks: its own type, or the state that an instance.update tells of."""
    change = payload.get('state_update')
    if event_type != 'instance.update' or not change:
        return event_type
    change = change['nova_object.data']
    if change['state'] == 'active' and change['old_state'] == 'building':
        return 'state.active'
    return f'task.{change["new_task_state"]}'


def phases(moments):
    """The phases whose moments were seen. `moments`: name to nanoseconds since 1970."""
    return [external(p.name, moments[p.begin], moments[p.end]) for p in PHASES if p.begin in moments and p.end in moments]
