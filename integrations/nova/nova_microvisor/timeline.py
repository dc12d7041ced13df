"""nova-microvisor-timeline: has the node know what Nova did before and after, for each server that is created on this host.

It listens to Nova's versioned notifications, which need [notifications] notification_format = versioned (or both) and
notify_on_state_change = vm_and_task_state, and adds their phases to the node's timeline of the same instance.
"""

import collections
import sys

from nova import conf
from nova import config
from oslo_log import log
import oslo_messaging

from nova_microvisor import client
from nova_microvisor import options
from nova_microvisor import phases
from nova_microvisor import requested

CONF = conf.CONF
LOG = log.getLogger(__name__)
TOPIC = 'versioned_notifications'
# Requests whose end has not been seen; the oldest are forgotten.
REQUESTS = 2000
END = 'instance.create.end'


class Collector:
    """Gathers the moments of requests. `done(uuid, host, moments)` is told of each server that is there."""

    def __init__(self, done):
        self.done = done
        self.requests = collections.OrderedDict()

    def take(self, context, event_type, payload, timestamp):
        request = context.get('request_id')
        if request is None:
            return
        if request not in self.requests:
            self.requests[request] = {}
            while len(self.requests) > REQUESTS:
                self.requests.popitem(last=False)
        data = payload.get('nova_object.data', {})
        # One request may create several servers: what names none is of all.
        uuid = data.get('uuid') if event_type.startswith('instance.') else None
        moments = self.requests[request].setdefault(uuid, {})
        moments.setdefault(phases.moment(event_type, data), phases.nanoseconds(timestamp))
        if event_type == END:
            self.done(uuid, data.get('host'), {**self.requests[request].get(None, {}), **moments})
            del self.requests[request][uuid]


class Endpoint:
    """What oslo.messaging calls."""

    def __init__(self, collector):
        self.collector = collector

    def info(self, context, publisher_id, event_type, payload, metadata):
        self.collector.take(context, event_type, payload, metadata['timestamp'])


def listener(collector, pool=None):
    """A listener that is not started yet. Those of one pool share the notifications; each pool gets all."""
    transport = oslo_messaging.get_notification_transport(CONF)
    target = oslo_messaging.Target(topic=TOPIC, exchange='nova')
    return oslo_messaging.get_notification_listener(transport, [target], [Endpoint(collector)], executor='threading', pool=pool)


def main():
    options.register(CONF)
    config.parse_args(sys.argv, configure_db=False)
    log.setup(CONF, 'nova-microvisor-timeline')
    node = client.Client.configured(CONF)

    def done(uuid, host, moments):
        if host != CONF.host:
            return
        try:
            labels = node.get(f'/v1/instances/{uuid}')['labels']
            found = phases.phases({'request': int(labels[requested.REQUESTED]), **moments})
            node.post(f'/v1/instances/{uuid}/timeline/phases', found)
            LOG.info('%s: %s phases', uuid, len(found))
        except (client.Problem, client.Unreachable) as e:
            if getattr(e, 'kind', None) == 'conflict':
                return  # it waits for its first packet, or is not to run: nothing was timed
            LOG.warning('%s: the timeline lacks the phases of Nova: %s', uuid, e)

    server = listener(Collector(done), pool=f'microvisor-{CONF.host}')
    server.start()
    LOG.info('listening for %s', CONF.host)
    try:
        server.wait()
    except KeyboardInterrupt:
        server.stop()
