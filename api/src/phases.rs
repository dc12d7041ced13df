//! The general model of an instantiation, and whose component does what of it: of orchestrators, and of the node alone.
//! The phases themselves are [`Phase`], since monitors time some of them.

use machine::timeline::Phase;

/// Where a phase takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Once for all hosts: in the orchestrator's core.
    Core,
    /// On the host that was chosen.
    Host,
    /// In the virtual machine.
    Guest,
}

/// Where a phase takes place.
pub fn place(phase: Phase) -> Place {
    match phase {
        Phase::Request | Phase::Authorize | Phase::Schedule => Place::Core,
        Phase::Image | Phase::Network | Phase::Spawn => Place::Host,
        Phase::Create | Phase::Memory | Phase::Load | Phase::Enter | Phase::Assign => Place::Host,
        Phase::Boot | Phase::Runtime | Phase::Devices | Phase::Configure => Place::Guest,
        Phase::Kernel | Phase::Init | Phase::Prepare => Place::Guest,
        Phase::Ready | Phase::FirstPacket => Place::Guest,
    }
}

/// What happens in a phase.
pub fn meaning(phase: Phase) -> &'static str {
    match phase {
        Phase::Request => "read and understood",
        Phase::Authorize => "who asks, and may they",
        Phase::Schedule => "which host",
        Phase::Image => "found and checked",
        Phase::Network => "ports are made",
        Phase::Spawn => "the monitor's work",
        Phase::Create => "process, VM, vCPU",
        Phase::Memory => "guest memory",
        Phase::Load => "image and tables",
        Phase::Enter => "confined, entered",
        Phase::Assign => "a prepared guest's identity",
        Phase::Boot => "the guest's work",
        Phase::Runtime => "heap, clock, console",
        Phase::Devices => "net devices",
        Phase::Configure => "Click file",
        Phase::Kernel => "to init",
        Phase::Init => "init to ready",
        Phase::Prepare => "ahead of the request",
        Phase::Ready => "the guest says so",
        Phase::FirstPacket => "forwarded or answered",
    }
}

/// A component of an orchestrator, and the phases that are its.
#[derive(Clone, Copy, Debug)]
pub struct Component {
    /// Its name there.
    pub name: &'static str,
    /// As a source of timelines calls its part: names of phases that come with `timeline/phases`.
    pub aliases: &'static [&'static str],
    /// Its phases.
    pub phases: &'static [Phase],
}

/// Somebody who brings instances into being.
#[derive(Debug)]
pub struct Orchestrator {
    /// As the source of phases is called.
    pub source: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// Whether real requests of it are measured here; otherwise it is mapped from its documents alone.
    pub measured: bool,
    /// Its components, in the order of the model.
    pub components: &'static [Component],
}

const fn component(
    name: &'static str,
    aliases: &'static [&'static str],
    phases: &'static [Phase],
) -> Component {
    Component { name, aliases, phases }
}

/// What the node and its parts do, whoever asks.
const GUEST: [Component; 3] = [
    component("MicroVisor monitor", &[], &[Phase::Spawn]),
    component("guest", &[], &[Phase::Boot, Phase::Ready]),
    component("switch, guest", &[], &[Phase::FirstPacket]),
];

/// Those that are measured, those that are only mapped, and the node without any.
pub static ORCHESTRATORS: [Orchestrator; 5] = [
    Orchestrator {
        source: "nova",
        name: "OpenStack Nova",
        measured: true,
        components: &[
            component("nova-api, nova-conductor", &["api", "conductor"], &[Phase::Request]),
            component("Keystone", &["keystone"], &[Phase::Authorize]),
            component("nova-scheduler, Placement", &["scheduler", "placement"], &[Phase::Schedule]),
            component("Glance, nova-compute's cache", &["glance"], &[Phase::Image]),
            component("Neutron, nova-compute", &["neutron"], &[Phase::Network]),
            component(
                "nova-compute, virt driver, monitor",
                &["compute", "driver", "finish"],
                &[Phase::Spawn],
            ),
            GUEST[1],
            GUEST[2],
        ],
    },
    Orchestrator {
        source: "nomad",
        name: "HashiCorp Nomad",
        measured: true,
        components: &[
            component("server: job and evaluation", &["server", "register"], &[Phase::Request]),
            component("server: ACL", &["acl"], &[Phase::Authorize]),
            component("server: scheduler, plan", &["scheduler", "evaluation", "plan"], &[Phase::Schedule]),
            component("client: artifacts, templates", &["artifact", "template"], &[Phase::Image]),
            component("client: network hook", &["network-hook"], &[Phase::Network]),
            component("client, task driver, monitor", &["client", "driver"], &[Phase::Spawn]),
            GUEST[1],
            GUEST[2],
        ],
    },
    // From the documents of Kubernetes 1.28 (components, the container runtime interface, the network plugins).
    Orchestrator {
        source: "kubernetes",
        name: "Kubernetes",
        measured: false,
        components: &[
            component("kube-apiserver: pod, etcd", &["apiserver"], &[Phase::Request]),
            component("kube-apiserver: RBAC, admission", &["rbac", "admission"], &[Phase::Authorize]),
            component("kube-scheduler: filter, score, bind", &["scheduler"], &[Phase::Schedule]),
            component("kubelet, runtime: image pull", &["pull"], &[Phase::Image]),
            component("runtime: pod sandbox, CNI plugin", &["sandbox", "cni"], &[Phase::Network]),
            component("kubelet, container runtime, shim", &["kubelet", "runtime"], &[Phase::Spawn]),
            component("guest; kubelet's readiness probe", &[], &[Phase::Boot, Phase::Ready]),
            component("the plugin's network, guest", &[], &[Phase::FirstPacket]),
        ],
    },
    // From the documents of OpenVIM, the reference VIM of OpenMANO and of the first releases of Open Source MANO.
    Orchestrator {
        source: "openvim",
        name: "OpenVIM",
        measured: false,
        components: &[
            component("openvimd: HTTP API, database", &["http"], &[Phase::Request]),
            component("openvimd: tenant of the URL", &["tenant"], &[Phase::Authorize]),
            component("openvimd: NUMA nodes, huge pages, ports", &["placement"], &[Phase::Schedule]),
            component("host thread: image copied to the host", &["image"], &[Phase::Image]),
            component("OpenFlow thread, controller", &["openflow"], &[Phase::Network]),
            component("host thread, libvirt, QEMU", &["host"], &[Phase::Spawn]),
            GUEST[1],
            component("OpenFlow switch, guest", &[], &[Phase::FirstPacket]),
        ],
    },
    Orchestrator {
        source: "microvisor",
        name: "the node alone",
        measured: true,
        components: &[
            component("API", &[], &[Phase::Request]),
            component("socket's mode, or token", &[], &[Phase::Authorize]),
            component("image store", &[], &[Phase::Image]),
            component("switch", &[], &[Phase::Network]),
            GUEST[0],
            GUEST[1],
            GUEST[2],
        ],
    },
];

impl Orchestrator {
    /// Who does a phase, or the one that it is a part of; nobody, if the orchestrator has no such thing.
    pub fn component(&self, phase: Phase) -> Option<&'static str> {
        let mine = |wanted| self.components.iter().find(|c| c.phases.contains(&wanted));
        mine(phase).or_else(|| mine(phase.within()?)).map(|c| c.name)
    }

    /// The phase of the model that a source means by a name: the model's own, or a component's. What follows a colon tells
    /// several of one component apart.
    pub fn phase(&self, name: &str) -> Option<Phase> {
        let name = name.split(':').next().unwrap_or(name);
        let own = Phase::ALL.into_iter().find(|phase| phase.name() == name);
        own.or_else(|| self.components.iter().find(|c| c.aliases.contains(&name))?.phases.first().copied())
    }
}

/// An orchestrator, as the source of phases is called.
pub fn orchestrator(source: &str) -> Option<&'static Orchestrator> {
    ORCHESTRATORS.iter().find(|o| o.source == source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_is_somebody_s_and_one_s_alone() {
        for orchestrator in &ORCHESTRATORS {
            for phase in Phase::ALL {
                let whose = orchestrator.components.iter().filter(|c| c.phases.contains(&phase)).count();
                assert!(whose <= 1, "{}: {phase:?}", orchestrator.name);
                let is_the_node_s = orchestrator.source == "microvisor" && phase == Phase::Schedule;
                assert_eq!(orchestrator.component(phase).is_none(), is_the_node_s, "{phase:?}");
            }
        }
    }

    #[test]
    fn a_name_that_a_source_uses_means_a_phase() {
        let nova = orchestrator("nova").unwrap();
        assert_eq!(nova.phase("scheduler"), Some(Phase::Schedule));
        assert_eq!(nova.phase("first-packet"), Some(Phase::FirstPacket));
        assert_eq!(nova.phase("placement: claim"), Some(Phase::Schedule));
        assert_eq!(nova.phase("unheard-of"), None);
    }
}
