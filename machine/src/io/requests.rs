//! Requests of the control socket: answered here, or passed on to the guest.

use super::channel::{Channel, GuestRequest, ToGuest};
use super::server::Input;
use super::{CONNECTIONS, Io, VhostPort};
use crate::confine::privileges;
use crate::control::{Instance, RefusalKind, Request, Response};
use crate::net::{BackEnd, Counters};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A request that the guest has not answered.
pub struct Pending {
    /// Slot of the connection that waits.
    pub slot: usize,
    /// What has come of the reply so far.
    pub value: Vec<u8>,
}

impl<C: Channel> Io<C> {
    pub(super) fn connection(&mut self, slot: usize) {
        for input in self.server.read(slot) {
            match input {
                Input::Request(request) => self.request(slot, request),
                Input::Malformed(why) => self.refuse(slot, RefusalKind::Malformed, why),
                Input::Console(bytes) => drop(self.send(ToGuest::ConsoleInput(&bytes))),
            }
        }
        self.watch_connections();
    }

    /// Has the connections waited for as they are now. Who is gone waits for no answer.
    pub(super) fn watch_connections(&mut self) {
        let gone = self.server.watch(&mut self.watch, CONNECTIONS);
        self.pending.retain(|_, request| !gone.contains(&request.slot));
    }

    fn refuse(&mut self, slot: usize, kind: RefusalKind, message: String) {
        self.server.respond(slot, &Response::Refused { kind, message });
    }

    fn request(&mut self, slot: usize, request: Request) {
        let done = |value: &str| Response::Done { value: value.into() };
        match request {
            Request::Inspect => {
                let instance = self.inspect();
                self.server.respond(slot, &Response::Instance(instance));
            }
            Request::Timeline => {
                let timeline = self.channel.timeline(&self.state);
                self.server.respond(slot, &Response::Timeline(timeline));
            }
            Request::Stop { grace_ms } => {
                self.stop(Duration::from_millis(grace_ms.into()));
                self.server.respond(slot, &done(""));
            }
            Request::Console => {
                self.server.respond(slot, &done(&self.console.dropped().to_string()));
                let history = self.console.history();
                self.server.attach(slot, &history);
            }
            Request::Read { handler } => self.forward(slot, GuestRequest::Read(&handler)),
            Request::Write { handler, value } => self.forward(slot, GuestRequest::Write(&handler, &value)),
            Request::Configure { config } => self.forward(slot, GuestRequest::Configure(&config)),
            Request::Pause | Request::Resume => {
                self.state.pause(request == Request::Pause);
                self.server.respond(slot, &done(""));
            }
            Request::Statistics => self.forward(slot, GuestRequest::Statistics),
        }
    }

    /// Passes a request on to the guest; its reply answers the connection.
    fn forward(&mut self, slot: usize, request: GuestRequest<'_>) {
        let id = self.next_id;
        self.next_id += 1;
        if self.send(ToGuest::Request(id, request)) {
            self.pending.insert(id, Pending { slot, value: Vec::new() });
        } else {
            let why = "the guest has not taken earlier requests yet".to_owned();
            self.refuse(slot, RefusalKind::Busy, why);
        }
    }

    fn inspect(&self) -> Instance {
        Instance {
            image: self.info.image.clone(),
            pid: privileges::number(),
            memory: self.info.memory,
            ready: self.ready,
            up_ns: self.channel.up_ns(),
            net: self.counters(),
            guest: self.channel.counters(),
        }
    }

    /// A block for each of the guest's net devices, in their order.
    fn counters(&self) -> Vec<Counters> {
        let brought: Vec<_> = self.ports.iter().filter_map(|port| port.counters()).collect();
        let count = self.taps.len() + self.vhosts.len() + brought.len();
        let mut blocks = vec![Counters::default(); count];
        for (number, counters) in brought {
            blocks[number] = counters;
        }
        for net in &self.taps {
            blocks[net.number] = net.device.counters;
        }
        for VhostPort { number, health } in &self.vhosts {
            blocks[*number].vhost_user = Some(BackEnd {
                connected: health.connected.load(Ordering::Relaxed),
                back_ends: health.back_ends.load(Ordering::Relaxed),
            });
        }
        blocks
    }
}

/// A guest's reply as the control socket gives it.
pub fn response(outcome: Result<(), RefusalKind>, value: &[u8]) -> Response {
    let text = String::from_utf8_lossy(value).into_owned();
    match outcome {
        Ok(()) => Response::Done { value: text },
        Err(kind) => Response::Refused { kind, message: text },
    }
}
