"""What the node tells by itself: states that nobody of Nova wished for become Nova's at once, and a node that is gone takes no
new servers."""

import threading
import time

from nova import conf
from nova import context as nova_context
from nova import exception
from nova import objects
from nova.virt import event
from oslo_log import log
from oslo_utils import uuidutils

from nova_microvisor import client
from nova_microvisor import states

CONF = conf.CONF
LOG = log.getLogger(__name__)

# The node says something each 15 s.
SILENCE = 40
# Seconds until a node that is gone is asked again.
PAUSE = 1
# What the reason of a service begins with that was disabled here: one that an operator disabled stays so.
DISABLED = 'AUTO: '


class Watch(threading.Thread):
    """Follows the node's events for ever. `emit` gets Nova's, but for instances in `acting`: these change by Nova's will.
    `mark(context, uuid, enabled)` has Placement know of a compute node whether it takes servers."""

    def __init__(self, node, host, acting, emit, mark):
        super().__init__(name='microvisor-events', daemon=True)
        self.node, self.host, self.acting, self.emit, self.mark = node, host, acting, emit, mark

    def run(self):
        away_since = None
        while True:
            try:
                for told in self.node.watch(SILENCE):
                    if told is None:
                        away_since = None
                        self._listening()
                    else:
                        self._pass_on(told['kind'], told['subject'])
                LOG.warning('The node ended its events')
            except (client.Unreachable, client.Problem) as e:
                LOG.warning('The node does not tell events: %s', e)
            except Exception:
                LOG.exception('An event of the node was not passed on')
            now = time.monotonic()
            away_since = away_since or now
            # An upgrade passes, and requests that come meanwhile are repeated.
            if now - away_since > CONF.microvisor.repeat_s:
                self._service_up(False)
            time.sleep(PAUSE)

    def _listening(self):
        """It tells from now on; what it is now may be news."""
        for instance in self.node.instances():
            self._pass_on(f'instance.{instance["state"]}', instance['name'])
        self._service_up(True)

    def _pass_on(self, kind, subject):
        transition = states.LIFECYCLE.get(kind.removeprefix('instance.'))
        if kind.startswith('instance.') and transition is not None and uuidutils.is_uuid_like(subject) and subject not in self.acting:
            self.emit(event.LifecycleEvent(subject, transition))

    def _service_up(self, up):
        """Enables the compute service, or disables it, so that the scheduler knows."""
        try:
            context = nova_context.get_admin_context()
            service = objects.Service.get_by_compute_host(context, self.host)
            by_hand = service.disabled and not (service.disabled_reason or '').startswith(DISABLED)
            if service.disabled != up or by_hand:
                return
            service.disabled = not up
            service.disabled_reason = None if up else f'{DISABLED}the MicroVisor node does not answer'
            service.save()
            # Nova itself has Placement know once a minute only, and until then finds no valid host.
            for node in objects.ComputeNodeList.get_all_by_host(context, self.host):
                self.mark(context, node.uuid, up)
            LOG.warning('The compute service is %s: the node %s', *(('enabled', 'answers') if up else ('disabled', 'does not answer')))
        except exception.ComputeHostNotFound:
            pass  # it is just about to be registered
        except Exception:
            LOG.exception('The compute service could not be switched')
