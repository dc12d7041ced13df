//! Health checks: a task asks an instance what its specification says, and the instance's own task takes in what comes of it
//! ([`Actor::checked`]).

use super::actor::Actor;
use super::control;
use super::launch::SOCKET;
use crate::node::Node;
use api::Problem;
use api::health::{Check, Health, HealthCheck, HealthState};
use api::instance::{Instance, InstanceSpec, Restart, State};
use api::network::Network;
use machine::control::{Request, Response};
use machine::timeline::unix_ns;
use rustix::io::retry_on_intr;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recv, sendto, socket_with,
};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What a guest that is not well may take to stop, milliseconds.
const GRACE_MS: u32 = 1000;
/// After that, until it is killed.
const MORE: Duration = Duration::from_secs(1);

/// Where an instance is asked.
struct Target {
    check: Check,
    timeout: Duration,
    /// Its monitor's control socket.
    socket: PathBuf,
    /// The network namespace that its first device is reached from, and the device's address.
    from: Option<String>,
    address: Option<IpAddr>,
}

/// Checks that go on until this is dropped.
pub struct Checks {
    outcomes: mpsc::Receiver<Result<(), String>>,
    task: JoinHandle<()>,
    /// Outcomes in a row that are alike.
    alike: u32,
    last_passed: bool,
}

impl Drop for Checks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Checks {
    /// Begins, with the first check after one interval.
    pub fn begin(node: &Node, spec: &InstanceSpec, instance: &Instance) -> Option<Self> {
        let health = spec.health.clone()?;
        let device = instance.devices.first();
        let network = device.and_then(|d| node.store.network(&d.network).ok());
        let address = device.and_then(|d| network.as_ref().and_then(|n| reachable(&d.addresses(), n)));
        let target = Arc::new(Target {
            check: health.check,
            timeout: Duration::from_millis(health.timeout_ms.into()),
            socket: node.folder(instance.id).join(SOCKET),
            from: network.and_then(|n| n.host).and_then(|h| h.netns),
            address,
        });
        let interval = Duration::from_secs(health.interval_s.into());
        let (to, outcomes) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                if to.send(target.clone().ask().await).await.is_err() {
                    return;
                }
            }
        });
        Some(Self { outcomes, task, alike: 0, last_passed: true })
    }

    /// What the next check finds.
    pub async fn next(checks: Option<&mut Self>) -> Result<(), String> {
        match checks {
            Some(checks) => match checks.outcomes.recv().await {
                Some(outcome) => outcome,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }
}

/// The address that the host has a way to: one of a family that it has an address of itself.
fn reachable(addresses: &[IpAddr], network: &Network) -> Option<IpAddr> {
    let host = network.host.as_ref()?;
    let has = |address: &IpAddr| match address {
        IpAddr::V4(_) => host.address.is_some(),
        IpAddr::V6(_) => host.address6.is_some(),
    };
    addresses.iter().copied().find(has)
}

/// Refuses a check that cannot be made.
pub fn check(node: &Node, spec: &InstanceSpec) -> Result<(), Problem> {
    let Some(health) = &spec.health else { return Ok(()) };
    health.check_ranges().map_err(Problem::invalid)?;
    if matches!(health.check, Check::Handler(_)) {
        return Ok(());
    }
    let device = spec
        .devices
        .first()
        .ok_or_else(|| Problem::invalid(format!("health: {} needs a net device", health.check)))?;
    let network = node.store.network(&device.network)?;
    let host = network.host.as_ref();
    let four = device.address.is_some() || network.subnet.is_some();
    let six = device.address6.is_some() || network.subnet6.is_some();
    let is_reachable = four && host.is_some_and(|h| h.address.is_some())
        || six && host.is_some_and(|h| h.address6.is_some());
    if !is_reachable {
        let message =
            format!("health: the host has no address on {} to ask {} from", network.name, health.check);
        return Err(Problem::invalid(message)
            .hint("give the network a port of the host with an address: --host, --address"));
    }
    Ok(())
}

impl Target {
    async fn ask(self: Arc<Self>) -> Result<(), String> {
        let what = self.check.to_string();
        let outcome = match &self.check {
            Check::Handler(comparison) => {
                let request = Request::Read { handler: comparison.handler.clone() };
                match tokio::time::timeout(self.timeout, control::call(&self.socket, request)).await {
                    Err(_) => Err("no answer in time".into()),
                    Ok(Ok(Response::Done { value })) if comparison.holds(&value) => Ok(()),
                    Ok(Ok(Response::Done { value })) => {
                        Err(format!("it is {:?}", value.trim().chars().take(64).collect::<String>()))
                    }
                    Ok(Ok(_)) => Err("an unexpected answer".into()),
                    Ok(Err(problem)) => Err(problem.to_string()),
                }
            }
            Check::Ping | Check::Tcp(_) => {
                let target = self.clone();
                let asked = tokio::task::spawn_blocking(move || target.knock()).await;
                asked.map_err(|e| e.to_string()).and_then(|outcome| outcome.map_err(|e| e.to_string()))
            }
        };
        outcome.map_err(|why| format!("{what}: {why}"))
    }

    /// Reaches the instance over its network. Blocks, as long as an answer may take.
    fn knock(&self) -> io::Result<()> {
        let address = self.address.ok_or_else(|| io::Error::other("the host has no way to it"))?;
        switch::netns::inside(self.from.as_deref(), || match self.check {
            Check::Tcp(port) => {
                TcpStream::connect_timeout(&SocketAddr::new(address, port), self.timeout).map(drop)
            }
            _ => ping(address, self.timeout),
        })
    }
}

/// Sends an echo request (RFC 792, RFC 4443 section 4), and waits for its reply.
fn ping(address: IpAddr, timeout: Duration) -> io::Result<()> {
    let (family, protocol, request, reply, header) = match address {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8, 0, 20),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128, 129, 0),
    };
    let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol))?;
    let mut sent = [0; 16];
    sent[0] = request;
    // What an answer is known by.
    sent[4..].copy_from_slice(&uuid::Uuid::now_v7().as_bytes()[4..]);
    if address.is_ipv4() {
        let sum = sent
            .chunks_exact(2)
            .fold(0u32, |sum, pair| sum + u32::from(u16::from_be_bytes([pair[0], pair[1]])));
        let folded = (sum & 0xffff) + (sum >> 16);
        let folded = (folded & 0xffff) + (folded >> 16);
        sent[2..4].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    }
    sendto(&socket, &sent, SendFlags::empty(), &SocketAddr::new(address, 0))?;
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        set_socket_timeout(&socket, Timeout::Recv, Some(left))?;
        let mut answer = [0; 128];
        let received = retry_on_intr(|| recv(&socket, &mut answer[..], RecvFlags::empty()));
        let length = match received {
            Ok((length, _)) => length,
            Err(rustix::io::Errno::AGAIN) => continue,
            Err(e) => return Err(e.into()),
        };
        // All that arrive are seen, others' too. An IPv4 header may have options.
        let begin = if header == 0 { 0 } else { usize::from(answer[0] & 15) * 4 };
        let message = answer.get(begin..length).unwrap_or_default();
        if message.first() == Some(&reply) && message.get(4..16) == Some(&sent[4..]) {
            return Ok(());
        }
    }
}

impl Actor {
    /// Its guest is ready: checks begin.
    pub(super) fn begin_checks(&mut self) {
        self.checks = Checks::begin(&self.node, &self.spec, &self.instance);
        self.instance.health = self.checks.as_ref().map(|_| Health {
            state: HealthState::Unknown,
            since_unix_ns: unix_ns(),
            reason: None,
        });
    }

    /// Takes in what a check has found. One that is unhealthy is stopped, if its policy starts it again.
    pub(super) async fn checked(&mut self, outcome: Result<(), String>) {
        let (Some(HealthCheck { failures, successes, .. }), Some(checks)) =
            (&self.spec.health, &mut self.checks)
        else {
            return;
        };
        if self.instance.state != State::Ready {
            // A guest that is paused answers nobody.
            checks.alike = 0;
            return;
        }
        let passed = outcome.is_ok();
        checks.alike = if passed == checks.last_passed { checks.alike.saturating_add(1) } else { 1 };
        checks.last_passed = passed;
        let (enough, state) = match passed {
            true => (checks.alike >= *successes, HealthState::Healthy),
            false => (checks.alike >= *failures, HealthState::Unhealthy),
        };
        let before = self.instance.health.as_ref().map_or(HealthState::Unknown, |h| h.state);
        if !enough || before == state {
            return;
        }
        let reason = outcome.err();
        let detail = serde_json::json!({ "reason": reason });
        self.instance.health = Some(Health { state, since_unix_ns: unix_ns(), reason: reason.clone() });
        self.keep();
        let kind = if passed { "instance.healthy" } else { "instance.unhealthy" };
        self.node.events.emit(kind, &self.instance.name, detail);
        if let Some(reason) = reason.filter(|_| self.spec.restart != Restart::Never) {
            self.end_unhealthy(reason).await;
        }
    }

    async fn end_unhealthy(&mut self, reason: String) {
        let Some(run) = &mut self.run else { return };
        let deadline = tokio::time::Instant::now() + Duration::from_millis(GRACE_MS.into()) + MORE;
        (run.ending, run.kill_at, run.unhealthy) = (true, Some(deadline), Some(reason));
        // Asked, its monitor says how it ended, with the console.
        let asked = tokio::time::timeout_at(deadline, self.ask(Request::Stop { grace_ms: GRACE_MS })).await;
        if !asked.is_ok_and(|answer| answer.is_ok()) {
            self.kill();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_answers_itself() {
        if !crate::process::spawn::privileged() {
            return;
        }
        for address in ["127.0.0.1", "::1"] {
            let address: IpAddr = address.parse().unwrap();
            match ping(address, Duration::from_secs(2)) {
                Ok(()) => {}
                // A host without IPv6.
                Err(e) if address.is_ipv6() => assert_ne!(e.kind(), io::ErrorKind::TimedOut, "{e}"),
                Err(e) => panic!("{e}"),
            }
        }
    }
}
