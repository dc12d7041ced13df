//! What an element may use of its router while it runs.

use super::{DeviceId, Element, Host, Nanos};
use crate::args::Names;
use crate::packet::{Batch, Packet};
use crate::router::{Engine, HandlerError};
use alloc::string::String;

/// The router, as an element may use it.
pub struct Context<'a> {
    /// The host: devices, clock, output.
    pub host: &'a mut dyn Host,
    pub(crate) engine: &'a mut Engine,
    pub(crate) id: usize,
}

impl Context<'_> {
    /// The time at the start of this round, nanoseconds.
    #[inline]
    pub fn now(&self) -> Nanos {
        self.engine.now
    }

    /// The exact time, nanoseconds; reads the clock.
    pub fn exact_now(&self) -> Nanos {
        self.host.now()
    }

    /// Number of this element, from 0 in the order of declarations.
    pub fn id(&self) -> usize {
        self.id
    }

    /// This element's name.
    pub fn name(&self) -> &str {
        &self.engine.slots[self.id].name
    }

    /// This element as it is declared: `name :: Class`.
    pub fn declaration(&self) -> String {
        let slot = &self.engine.slots[self.id];
        alloc::format!("{} :: {}", slot.name, slot.class.name)
    }

    /// Number of its inputs.
    pub fn inputs(&self) -> usize {
        self.engine.slots[self.id].inputs.len()
    }

    /// Number of its outputs.
    #[inline]
    pub fn outputs(&self) -> usize {
        self.engine.slots[self.id].outputs.len()
    }

    /// Whether an output pushes.
    pub fn pushes(&self, output: usize) -> bool {
        self.engine.ports[self.id].pushes(output)
    }

    /// Whether an input pulls.
    pub fn pulls(&self, input: usize) -> bool {
        !self.engine.ports[self.id].is_pushed(input)
    }

    /// Pushes packets to an output. They are dropped if there is no such output.
    #[inline]
    pub fn output(&mut self, port: usize, batch: Batch) {
        if !batch.is_empty()
            && let Some(&target) = self.engine.slots[self.id].outputs.get(port)
        {
            self.engine.enqueue(target, batch);
        }
    }

    /// Pushes one packet to an output.
    #[inline]
    pub fn output_one(&mut self, port: usize, packet: Packet) {
        self.output(port, Batch::one(packet));
    }

    /// Pushes packets to an input of this element again, after everything that it pushed before has been delivered and its handler
    /// calls are done.
    pub fn push_again(&mut self, port: usize, batch: Batch) {
        if !batch.is_empty() {
            self.engine.enqueue_again(crate::lang::Port { element: self.id, port }, batch);
        }
    }

    /// Pulls at most `most` packets from an input.
    #[inline(never)]
    pub fn pull(&mut self, port: usize, most: usize) -> Batch {
        match self.engine.slots[self.id].inputs.get(port) {
            Some(&source) => self.engine.pull(self.host, source, most),
            None => Batch::new(),
        }
    }

    /// Schedules [`Element::run_task`] for this or the next round.
    pub fn schedule(&mut self) {
        self.engine.schedule(self.id);
    }

    /// Sets the timer: [`Element::timer`] is called once at this time. Replaces an earlier setting.
    pub fn wake_at(&mut self, time: Nanos) {
        self.engine.wake_at(self.id, Some(time));
    }

    /// Sets the timer to this time, unless it is set to an earlier one.
    pub fn wake_by(&mut self, time: Nanos) {
        if self.engine.timer(self.id).is_none_or(|set| set > time) {
            self.wake_at(time);
        }
    }

    /// Clears the timer.
    pub fn wake_never(&mut self) {
        self.engine.wake_at(self.id, None);
    }

    /// Schedules this element, which is blocked by a full device, when the host next runs the router.
    pub fn schedule_when_called(&mut self) {
        if !self.engine.blocked.contains(&self.id) {
            self.engine.blocked.push(self.id);
        }
    }

    /// Sets the tickets of this element's task (1024 at first): its share of the rounds.
    pub fn set_tickets(&mut self, tickets: u32) {
        self.engine.set_tickets(self.id, tickets);
    }

    /// Sets the tickets of another element's task.
    pub fn set_tickets_of(&mut self, id: usize, tickets: u32) {
        self.engine.set_tickets(id, tickets);
    }

    /// Schedules the pullers downstream, which stopped when they got no packets.
    #[inline]
    pub fn notify(&mut self) {
        for i in 0..self.engine.slots[self.id].listeners.len() {
            let listener = self.engine.slots[self.id].listeners[i];
            self.engine.schedule(listener);
        }
    }

    /// Asks the router to stop.
    pub fn stop(&mut self) {
        self.engine.stop_requested = true;
    }

    /// Stops the router at once, even if a script drives it.
    pub fn stop_now(&mut self) {
        self.engine.stopped = true;
    }

    /// Names for addresses.
    pub fn names(&self) -> &Names {
        self.engine.names.of(self.name())
    }

    /// Number of the element with this name. Names inside this element's compound element come first.
    pub fn find(&self, name: &str) -> Option<usize> {
        let mut around = self.name();
        while let Some((outside, _)) = around.rsplit_once('/') {
            around = outside;
            if let Some(id) = self.engine.find_element(&alloc::format!("{around}/{name}")) {
                return Some(id);
            }
        }
        self.engine.find_element(name)
    }

    /// Number of elements; they are numbered from 0.
    pub fn elements(&self) -> usize {
        self.engine.slots.len()
    }

    /// Another element. `None` if there is no such element, or it is running, as this one is. An element that calls this in
    /// `initialize` stays on the same thread as the other.
    pub fn element(&mut self, id: usize) -> Option<&mut dyn Element> {
        #[cfg(feature = "host")]
        if self.engine.threads.count > 1 && self.engine.threads.mailbox.is_none() {
            self.engine.threads.references.insert((self.id, id));
        }
        self.peek(id)
    }

    /// Another element, for one access in `initialize`: they may be on different threads later.
    pub fn peek(&mut self, id: usize) -> Option<&mut dyn Element> {
        self.engine.slots.get_mut(id)?.element.as_deref_mut()
    }

    /// Number of threads that the router runs on.
    pub fn threads(&self) -> usize {
        #[cfg(feature = "host")]
        return self.engine.threads.count;
        #[cfg(not(feature = "host"))]
        1
    }

    /// Places an element on a thread, numbered from 0.
    pub fn place_on_thread(&mut self, id: usize, thread: usize) {
        #[cfg(feature = "host")]
        self.engine.threads.preferences.insert(id, thread);
        #[cfg(not(feature = "host"))]
        let _ = (id, thread);
    }

    /// Another element's name.
    pub fn name_of(&self, id: usize) -> &str {
        self.engine.slots.get(id).map_or("", |s| &s.name)
    }

    /// Another element as it is declared.
    pub(crate) fn label_of(&self, id: usize) -> String {
        self.engine.label(id)
    }

    /// The nearest elements for which `wanted` is true, on every path downstream or upstream.
    pub fn find_nearest(
        &self,
        downstream: bool,
        wanted: impl Fn(&dyn Element) -> bool,
    ) -> alloc::vec::Vec<usize> {
        let mut seen = alloc::collections::BTreeSet::new();
        seen.insert(self.id);
        let (mut waiting, mut found) = (alloc::vec![self.id], alloc::vec::Vec::new());
        while let Some(id) = waiting.pop() {
            let slot = &self.engine.slots[id];
            for port in if downstream { &slot.outputs } else { &slot.inputs } {
                if !seen.insert(port.element) {
                    continue;
                }
                match &self.engine.slots[port.element].element {
                    Some(element) if wanted(element.as_ref()) => found.push(port.element),
                    _ => waiting.push(port.element),
                }
            }
        }
        found
    }

    /// The nearest element downstream for which `wanted` is true, behind push elements with one input and one output only.
    pub fn only_way(&self, wanted: impl Fn(&dyn Element) -> bool) -> Option<usize> {
        let mut at = self.id;
        for _ in 0..self.elements() {
            let slot = &self.engine.slots[at];
            if slot.outputs.len() != 1
                || !self.engine.ports[at].pushes(0)
                || (at != self.id && slot.inputs.len() != 1)
            {
                return None;
            }
            at = slot.outputs[0].element;
            let element = self.engine.slots[at].element.as_ref()?;
            if wanted(element.as_ref()) {
                return Some(at);
            }
        }
        None
    }

    /// Schedules another element's task for this or the next round.
    pub fn schedule_other(&mut self, id: usize) {
        self.engine.schedule(id);
    }

    /// Number of another element's outputs.
    pub fn outputs_of(&self, id: usize) -> usize {
        self.engine.slots.get(id).map_or(0, |s| s.outputs.len())
    }

    /// Whether an element of this name exists.
    pub fn has_element(&self, name: &str) -> bool {
        self.engine.find_element(name).is_some()
    }

    /// A random number.
    #[inline]
    pub fn random(&mut self) -> u64 {
        self.engine.random()
    }

    /// Prints a line.
    pub fn print(&mut self, line: &str) {
        self.host.print(line);
        self.host.print("\n");
    }

    /// Reads a handler of any element.
    pub fn read_handler(&mut self, handler: &str) -> Result<String, HandlerError> {
        self.engine.read_and_hear(self.host, handler)
    }

    /// The same, and the errors of scripts that were called.
    pub(crate) fn call_to_read(
        &mut self,
        handler: &str,
    ) -> (Result<String, HandlerError>, alloc::vec::Vec<String>) {
        let before = core::mem::take(&mut self.engine.caller_reports);
        let value = self.engine.read(self.host, handler);
        (value, core::mem::replace(&mut self.engine.caller_reports, before))
    }

    /// The same for writing.
    pub(crate) fn call_to_write(
        &mut self,
        handler: &str,
        value: &str,
    ) -> (Result<(), HandlerError>, alloc::vec::Vec<String>) {
        let before = core::mem::take(&mut self.engine.caller_reports);
        let done = self.engine.write(self.host, handler, value);
        (done, core::mem::replace(&mut self.engine.caller_reports, before))
    }

    /// Adds a warning, for whoever initializes the router.
    pub fn warn(&mut self, message: impl Into<String>) {
        self.engine.warnings.push((self.id, message.into()));
    }

    /// Reports an error to the caller of this element's handler.
    pub(crate) fn report_to_caller(&mut self, message: &str) {
        if self.engine.caller_reports.len() < 100 {
            self.engine.caller_reports.push(message.into());
        }
    }

    /// Writes a handler, `HANDLER VALUE`, after this element has returned and its packets are delivered.
    pub fn call(&mut self, handler: &str) {
        self.engine.calls.push_back((self.id, handler.into()));
    }

    /// Sets whether each packet is delivered all the way before the next one reaches this element. For elements whose effects can be
    /// observed between two packets.
    pub fn take_packets_one_by_one(&mut self, whether: bool) {
        self.engine.slots[self.id].single = whether;
    }

    /// Sets whether each packet goes all the way from source to sink before the next one. It is so while any element wants it.
    pub fn move_packets_one_by_one(&mut self, whether: bool) {
        if core::mem::replace(&mut self.engine.slots[self.id].singles, whether) != whether {
            self.engine.single = self.engine.slots.iter().any(|s| s.singles);
        }
    }

    /// Limits a batch of `most` packets to one if packets move one by one.
    #[inline]
    pub fn at_once(&self, most: usize) -> usize {
        if self.engine.single { most.min(1) } else { most }
    }

    /// Writes a handler of any element.
    pub fn write_handler(&mut self, handler: &str, value: &str) -> Result<(), HandlerError> {
        self.engine.write_and_hear(self.host, handler, value)
    }

    /// Whether a handler can be read, and whether it can be written.
    #[cfg(feature = "host")]
    pub fn permissions(&self, handler: &str) -> Result<(bool, bool), HandlerError> {
        self.engine.permissions(self.host, handler)
    }

    /// Restarts the random numbers with a seed.
    pub fn seed(&mut self, seed: u64) {
        self.engine.seed(seed);
    }

    /// The host's device of a name.
    pub fn device(&mut self, name: &str) -> Result<DeviceId, String> {
        self.host.device(name).ok_or_else(|| alloc::format!("no device named '{name}'"))
    }
}
