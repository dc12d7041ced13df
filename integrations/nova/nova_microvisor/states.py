"""What the node says, in Nova's words: states as power states and lifecycle events, problems as exceptions."""

from nova.compute import power_state
from nova import exception
from nova.virt import event

# The node's states (docs/node.md). One that waits for its first packet is there for who sends one; one that failed does not
# run, and why is the end of its console. NOSTATE has Nova look again later.
POWER = {
    'starting': power_state.NOSTATE,
    'ready': power_state.RUNNING,
    'paused': power_state.PAUSED,
    'stopping': power_state.RUNNING,
    'waiting': power_state.RUNNING,
    'stopped': power_state.SHUTDOWN,
    'failed': power_state.SHUTDOWN,
}

# What Nova does when it hears of a state that it did not wish for: `stopped` makes a server SHUTOFF, and so on.
LIFECYCLE = {
    'ready': event.EVENT_LIFECYCLE_STARTED,
    'waiting': event.EVENT_LIFECYCLE_STARTED,
    'paused': event.EVENT_LIFECYCLE_PAUSED,
    'stopped': event.EVENT_LIFECYCLE_STOPPED,
    'failed': event.EVENT_LIFECYCLE_STOPPED,
}

# Kinds of problems that the request has with it: Nova says why, instead of trying the next host and saying only that it tried.
# A host without a network that a flavor names is kept from such requests by a trait (docs/openstack.md).
EVERYWHERE = {'invalid', 'configuration', 'absent', 'failed'}


# States that an instance is in when it has done what it was asked; `starting` and `stopping` lead there.
REACHED = {
    'start': {'ready', 'waiting'},
    'stop': {'stopped', 'failed'},
    'pause': {'paused'},
    'resume': {'ready'},
}
ON_THE_WAY = {'starting', 'stopping'}


def power(instance):
    """The power state of a node's instance. One that is about to be started again by its policy is in between."""
    if instance['state'] == 'failed' and instance['restart'] != 'never':
        return power_state.NOSTATE
    return POWER[instance['state']]


def build_failure(instance, problem):
    """Why a build ended. Nova tries the next host after a problem of this one only."""
    if problem.kind in EVERYWHERE:
        return exception.BuildAbortException(instance_uuid=instance.uuid, reason=str(problem))
    return exception.ComputeResourcesUnavailable(reason=str(problem))


def image_failure(image_id, problem):
    """Why the node does not have an image: it is not a guest image, or the node has no room."""
    if problem.kind in EVERYWHERE:
        return exception.ImageUnacceptable(image_id=image_id, reason=str(problem))
    return exception.ComputeResourcesUnavailable(reason=str(problem))
