//! Moves packets: pushed batches wait on a stack of their own, so that order is as if each element called the next,
//! while the machine's stack stays flat; pulls walk upstream to an element that has packets of its own, and back.

use crate::args::NamesByPlace;
use crate::build::Built;
use crate::element::{Class, Context, Element, Host, Nanos};
use crate::lang::Port;
use crate::packet::Batch;
use crate::router::Progress;
use crate::schedule::{Tasks, Timers};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// An element in its router.
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) class: &'static Class,
    pub(crate) config: String,
    /// Not there while the element is at work.
    pub(crate) element: Option<Box<dyn Element>>,
    /// What feeds each input (the first, for a push input) and what each output feeds.
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    /// Pullers downstream.
    pub(crate) listeners: Vec<usize>,
    owns_pull: bool,
    /// It gets packets one by one.
    pub(crate) single: bool,
    /// It wants all packets to move one by one.
    pub(crate) singles: bool,
    pub(crate) packets: u64,
    pub(crate) batches: u64,
    pub(crate) cycles: u64,
}

/// A batch on its way.
struct Delivery {
    to: Port,
    hops: usize,
    batch: Batch,
}

/// The state that elements see through their [`Context`].
pub struct Engine {
    pub(crate) slots: Vec<Slot>,
    pub(crate) by_name: BTreeMap<String, usize>,
    pub(crate) source: String,
    pub(crate) names: NamesByPlace,
    pub(crate) now: Nanos,
    pub(crate) stopped: bool,
    pub(crate) stop_requested: bool,
    pub(crate) profiling: bool,
    pub(crate) blocked: Vec<usize>,
    pub(crate) ports: Vec<crate::graph::Ports>,
    /// Packets move one by one, because an element does something, or soon will, that others see in between.
    pub(crate) single: bool,
    /// Handlers to be written when the element that wants it is done: who wants it, and `HANDLER VALUE`.
    pub(crate) calls: VecDeque<(usize, String)>,
    calling: bool,
    /// What elements found when they were initialized that is probably not as meant.
    pub(crate) warnings: Vec<(usize, String)>,
    /// What scripts have to say to whoever called them.
    pub(crate) caller_reports: Vec<String>,
    stack: Vec<Delivery>,
    /// How many more this piece of work may cause.
    deliveries: usize,
    hops: usize,
    hops_most: usize,
    path: Vec<usize>,
    /// Some element upstream had packets for the pull that goes on.
    pull_found: bool,
    /// A pull of this piece of work came back empty although there were packets: all were dropped on the way. Who pulled
    /// tries again, since nobody will wake it.
    pull_dropped: bool,
    tasks: Tasks,
    timers: Timers,
    pollers: Vec<usize>,
    random: u64,
    loops: u64,
    #[cfg(feature = "host")]
    pub(crate) threads: crate::threads::Threads,
}

/// Deliveries that one piece of work may cause, per element of the configuration: more is a loop that multiplies.
const DELIVERIES: usize = 256;

impl Engine {
    pub(crate) fn assemble(built: Built, source: &str, host: &mut dyn Host) -> Self {
        let Built { flat, classes, ports, elements, names, .. } = built;
        let mut slots = Vec::with_capacity(elements.len());
        let mut by_name = BTreeMap::new();
        let parts = flat.elements.into_iter().zip(classes).zip(&ports).zip(elements);
        for (id, (((declared, class), ports), element)) in parts.enumerate() {
            by_name.insert(declared.name.clone(), id);
            slots.push(Slot {
                name: declared.name,
                class,
                config: declared.config,
                owns_pull: element.owns_pull(),
                element: Some(element),
                inputs: ports.inputs.iter().copied().flatten().collect(),
                outputs: ports.outputs.iter().copied().flatten().collect(),
                listeners: Vec::new(),
                single: false,
                singles: false,
                packets: 0,
                batches: 0,
                cycles: 0,
            });
        }
        let is = |f: fn(&dyn Element) -> bool| {
            let all = slots.iter().enumerate();
            all.filter(|(_, s)| s.element.as_deref().is_some_and(f)).map(|(i, _)| i).collect::<Vec<_>>()
        };
        let (pollers, pullers) = (is(|e| e.is_poller()), is(|e| e.is_puller()));
        let count = slots.len();
        let mut engine = Self {
            slots,
            by_name,
            source: source.to_string(),
            names,
            now: host.now(),
            stopped: false,
            stop_requested: false,
            profiling: false,
            blocked: Vec::new(),
            single: false,
            calls: VecDeque::new(),
            calling: false,
            warnings: Vec::new(),
            caller_reports: Vec::new(),
            stack: Vec::new(),
            deliveries: 0,
            hops: 0,
            // A packet may pass each element a few times (encapsulated, say): more is a loop.
            hops_most: 64 + 4 * count,
            path: Vec::new(),
            pull_found: false,
            pull_dropped: false,
            tasks: Tasks::new(count),
            timers: Timers::new(count),
            pollers,
            random: host.random_seed() | 1,
            loops: 0,
            ports,
            #[cfg(feature = "host")]
            threads: crate::threads::Threads::new(host.threads()),
        };
        pullers.into_iter().for_each(|puller| engine.listen(puller));
        engine
    }

    /// Makes a puller a listener of all that notify upstream of it.
    fn listen(&mut self, puller: usize) {
        let mut seen = BTreeSet::new();
        let mut waiting = alloc::vec![puller];
        while let Some(id) = waiting.pop() {
            for input in 0..self.slots[id].inputs.len() {
                let from = self.slots[id].inputs[input];
                if self.ports[from.element].pushes(from.port) || !seen.insert(from.element) {
                    continue;
                }
                waiting.push(from.element);
                let slot = &mut self.slots[from.element];
                if slot.element.as_ref().is_some_and(|e| e.notifies()) {
                    slot.listeners.push(puller);
                }
            }
        }
    }

    pub(crate) fn phase(&self, id: usize) -> i32 {
        self.slots[id].element.as_ref().map_or(0, |e| e.phase())
    }

    pub(crate) fn label(&self, id: usize) -> String {
        format!("{} :: {}", self.slots[id].name, self.slots[id].class.name)
    }

    /// Runs `f` on an element outside of its slot, so that it can reach all others. `None`: it is at work already.
    pub(crate) fn with<R>(
        &mut self,
        host: &mut dyn Host,
        id: usize,
        f: impl FnOnce(&mut dyn Element, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let result = self.with_element(host, id, f);
        if !self.calls.is_empty() {
            self.call(host);
        }
        result
    }

    #[inline]
    fn with_element<R>(
        &mut self,
        host: &mut dyn Host,
        id: usize,
        f: impl FnOnce(&mut dyn Element, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let mut element = self.slots[id].element.take()?;
        let result = f(element.as_mut(), &mut Context { host, engine: self, id });
        self.slots[id].element = Some(element);
        Some(result)
    }

    /// [`Engine::with`], and all that follows: what it pushed is delivered, then the handlers are written that it wants.
    #[inline]
    fn run_element<R>(
        &mut self,
        host: &mut dyn Host,
        id: usize,
        f: impl FnOnce(&mut dyn Element, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let result = self.with_element(host, id, f);
        if self.calls.is_empty() {
            self.deliver(host);
            return result;
        }
        let mut calls = core::mem::take(&mut self.calls);
        self.deliver(host);
        self.calls.append(&mut calls);
        self.call(host);
        self.deliver(host);
        result
    }

    /// Writes the handlers that elements want written.
    #[cold]
    fn call(&mut self, host: &mut dyn Host) {
        if core::mem::replace(&mut self.calling, true) {
            return;
        }
        while let Some((id, call)) = self.calls.pop_front() {
            let (handler, value) = call.split_once(char::is_whitespace).unwrap_or((&call, ""));
            if let Err(e) = self.write_and_hear(host, handler, value) {
                host.print(&format!("{}: {e}\n", self.slots[id].name));
            }
        }
        self.calling = false;
    }

    pub(crate) fn run(&mut self, host: &mut dyn Host, rounds: usize) -> Progress {
        #[cfg(feature = "host")]
        if self.threads.mailbox.is_some() {
            return self.run_part(host, rounds);
        }
        self.run_rounds(host, rounds)
    }

    pub(crate) fn run_rounds(&mut self, host: &mut dyn Host, rounds: usize) -> Progress {
        for id in core::mem::take(&mut self.blocked) {
            self.schedule(id);
        }
        // A script that drives the router begins before anything else does.
        if self.stop_requested {
            self.now = host.now();
            self.stop(host);
        }
        for _ in 0..rounds {
            if self.stopped {
                return Progress::Stopped;
            }
            self.now = host.now();
            let mut worked = self.fire_timers(host);
            for i in 0..self.pollers.len() {
                worked |= self.work(host, self.pollers[i]);
            }
            for _ in 0..self.tasks.len() {
                let Some(id) = self.tasks.next() else { break };
                if self.work(host, id) {
                    self.schedule(id);
                }
                worked = true;
                if self.stop_requested {
                    self.stop(host);
                }
                if self.stopped {
                    return Progress::Stopped;
                }
            }
            if self.stop_requested {
                self.stop(host);
            }
            if !worked && self.tasks.len() == 0 && !self.stopped {
                return Progress::Idle { until: self.timers.first() };
            }
        }
        if self.stopped { Progress::Stopped } else { Progress::Busy }
    }

    /// One turn of an element's own work, and all that follows from it.
    fn work(&mut self, host: &mut dyn Host, id: usize) -> bool {
        let began = if self.profiling { host.cycles() } else { 0 };
        let again = self.run_element(host, id, |e, cx| {
            cx.engine.pull_dropped = false;
            let again = e.run_task(cx) | (cx.engine.pull_dropped && e.is_puller());
            if cx.engine.profiling {
                let passed = cx.host.cycles().saturating_sub(began);
                cx.engine.slots[id].cycles += passed;
            }
            again
        });
        again.unwrap_or(false)
    }

    /// Stops, unless a script drives the router and goes on.
    fn stop(&mut self, host: &mut dyn Host) {
        self.stop_requested = false;
        #[cfg(feature = "host")]
        if let Some(thread) = self.driven_elsewhere() {
            return self.ask_to_stop(thread);
        }
        let handled =
            (0..self.slots.len()).any(|id| self.with(host, id, |e, cx| e.driver_stop(cx)).unwrap_or(false));
        self.deliver(host);
        self.stopped |= !handled;
    }

    #[inline]
    pub(crate) fn enqueue(&mut self, to: Port, batch: Batch) {
        if self.single || self.slots[to.element].single {
            return self.enqueue_one_by_one(to, batch);
        }
        self.stack.push(Delivery { to, hops: self.hops + 1, batch });
    }

    #[cold]
    fn enqueue_one_by_one(&mut self, to: Port, mut batch: Batch) {
        let hops = self.hops + 1;
        // Each has its own way to go.
        self.deliveries += batch.len().saturating_sub(1) * (self.slots.len() + 64);
        self.stack.extend(batch.drain().map(|packet| Delivery { to, hops, batch: Batch::one(packet) }));
    }

    /// Stages a batch for an element that is to see it again; that is no further hop.
    pub(crate) fn enqueue_again(&mut self, to: Port, batch: Batch) {
        self.stack.push(Delivery { to, hops: self.hops, batch });
    }

    /// Delivers what was pushed, and what that pushes, in the order of nested calls.
    #[inline]
    pub(crate) fn deliver(&mut self, host: &mut dyn Host) {
        if self.stack.is_empty() {
            return;
        }
        self.deliveries += DELIVERIES * (self.slots.len() + 64);
        self.stack.reverse();
        while let Some(Delivery { to, hops, batch }) = self.stack.pop() {
            self.deliveries -= 1;
            if hops > self.hops_most || self.deliveries == 0 {
                self.give_up(host, to.element);
                if self.deliveries == 0 {
                    break;
                }
                continue;
            }
            self.hops = hops;
            let slot = &mut self.slots[to.element];
            // An element that is at work cannot be reached by a push: those are delivered between its turns.
            let Some(mut element) = slot.element.take() else {
                #[cfg(feature = "host")]
                self.forward(to, batch);
                continue;
            };
            slot.packets += batch.len() as u64;
            slot.batches += 1;
            let waiting = self.stack.len();
            if self.profiling {
                self.push_profiled(host, element.as_mut(), to, batch);
            } else {
                element.push(&mut Context { host, engine: self, id: to.element }, to.port, batch);
            }
            self.slots[to.element].element = Some(element);
            // First pushed, first delivered.
            if self.stack.len() > waiting + 1 {
                self.stack[waiting..].reverse();
            }
            if !self.calls.is_empty() {
                self.call(host);
            }
        }
        (self.hops, self.deliveries) = (0, 0);
    }

    #[cold]
    fn push_profiled(&mut self, host: &mut dyn Host, element: &mut dyn Element, to: Port, batch: Batch) {
        let began = host.cycles();
        element.push(&mut Context { host, engine: self, id: to.element }, to.port, batch);
        self.slots[to.element].cycles += host.cycles().saturating_sub(began);
    }

    #[cold]
    fn give_up(&mut self, host: &mut dyn Host, id: usize) {
        self.loops += 1;
        if self.loops == 1 {
            host.print(&format!("{}: packets go in a loop and are dropped\n", self.label(id)));
        }
        if self.loops > 1 << 16 {
            self.loops = 1 << 16;
        }
        // What multiplies would take forever; what merely circles has nothing else waiting.
        self.stack.clear();
    }

    /// Pulls from an output: upstream past elements that only act on packets, and back through them.
    pub(crate) fn pull(&mut self, host: &mut dyn Host, source: Port, most: usize) -> Batch {
        let mut most = if self.single { most.min(1) } else { most };
        let base = self.path.len();
        let mut at = source;
        while !self.slots[at.element].owns_pull {
            self.path.push(at.element);
            let slot = &self.slots[at.element];
            most = if slot.single { most.min(1) } else { most };
            let input = slot.element.as_ref().map_or(0, |e| e.source_of(at.port));
            match slot.inputs.get(input).filter(|_| self.path.len() <= base + 2 * self.slots.len()) {
                Some(&next) => at = next,
                None => {
                    self.path.truncate(base);
                    return Batch::new();
                }
            }
        }
        let began = if self.profiling { host.cycles() } else { 0 };
        let outer = core::mem::take(&mut self.pull_found);
        let mut batch = self.with(host, at.element, |e, cx| e.pull(cx, at.port, most)).unwrap_or_default();
        self.pull_found |= !batch.is_empty();
        self.count(host, at.element, &batch, began);
        while self.path.len() > base {
            let Some(id) = self.path.pop() else { break };
            if !batch.is_empty() {
                let began = if self.profiling { host.cycles() } else { 0 };
                self.count(host, id, &batch, began);
                self.with(host, id, |e, cx| e.simple_action(cx, &mut batch));
                if self.profiling {
                    self.slots[id].cycles += host.cycles().saturating_sub(began);
                }
            }
        }
        self.pull_dropped |= self.pull_found && batch.is_empty();
        self.pull_found |= outer;
        batch
    }

    #[inline]
    fn count(&mut self, host: &dyn Host, id: usize, batch: &Batch, began: u64) {
        if batch.is_empty() {
            return;
        }
        let slot = &mut self.slots[id];
        slot.packets += batch.len() as u64;
        slot.batches += 1;
        if self.profiling {
            slot.cycles += host.cycles().saturating_sub(began);
        }
    }

    #[inline]
    pub(crate) fn schedule(&mut self, id: usize) {
        self.tasks.add(id);
    }

    /// The next element that is to work, which is not scheduled any more.
    #[cfg(feature = "host")]
    pub(crate) fn next_task(&mut self) -> Option<usize> {
        self.tasks.next()
    }

    /// The whole graph for another thread, without elements.
    #[cfg(feature = "host")]
    pub(crate) fn copy_for(&mut self, mailbox: crate::threads::Mailbox) -> Self {
        let count = self.slots.len();
        let copy = |s: &Slot| Slot {
            name: s.name.clone(),
            config: s.config.clone(),
            element: None,
            inputs: s.inputs.clone(),
            outputs: s.outputs.clone(),
            listeners: s.listeners.clone(),
            ..*s
        };
        let mut threads = crate::threads::Threads::new(self.threads.count);
        threads.mailbox = Some(mailbox);
        Self {
            slots: self.slots.iter().map(copy).collect(),
            by_name: self.by_name.clone(),
            source: self.source.clone(),
            names: self.names.clone(),
            blocked: Vec::new(),
            ports: self.ports.clone(),
            calls: VecDeque::new(),
            warnings: Vec::new(),
            caller_reports: Vec::new(),
            stack: Vec::new(),
            path: Vec::new(),
            tasks: Tasks::new(count),
            timers: Timers::new(count),
            pollers: Vec::new(),
            random: self.random() | 1,
            // Whoever is asked is asked once.
            stop_requested: false,
            threads,
            ..*self
        }
    }

    /// Moves an element to the copy of its graph, with what belongs to it. It is not scheduled there yet.
    #[cfg(feature = "host")]
    pub(crate) fn move_element(&mut self, id: usize, other: &mut Self) {
        let (from, to) = (&mut self.slots[id], &mut other.slots[id]);
        to.element = from.element.take();
        to.config = core::mem::take(&mut from.config);
        (to.packets, to.batches, to.cycles) = (from.packets, from.batches, from.cycles);
        (to.single, to.singles) = (from.single, core::mem::take(&mut from.singles));
        other.set_tickets(id, self.tasks.tickets(id));
        other.wake_at(id, self.timers.get(id));
        self.wake_at(id, None);
    }

    /// Finds out what the elements that are here want.
    #[cfg(feature = "host")]
    pub(crate) fn look_at_elements(&mut self) {
        let here = |s: &Slot, f: fn(&dyn Element) -> bool| s.element.as_deref().is_some_and(f);
        self.pollers = (0..self.slots.len()).filter(|&id| here(&self.slots[id], |e| e.is_poller())).collect();
        self.single = self.slots.iter().any(|s| s.singles);
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    pub(crate) fn set_tickets(&mut self, id: usize, tickets: u32) {
        self.tasks.set_tickets(id, tickets);
    }

    pub(crate) fn wake_at(&mut self, id: usize, time: Option<Nanos>) {
        self.timers.set(id, time);
    }

    pub(crate) fn timer(&self, id: usize) -> Option<Nanos> {
        self.timers.get(id)
    }

    fn fire_timers(&mut self, host: &mut dyn Host) -> bool {
        let mut fired = false;
        // A timer that is set again for the past waits for the next round.
        for _ in 0..self.timers.len() {
            let Some(id) = self.timers.due(self.now) else { break };
            self.run_element(host, id, |e, cx| e.timer(cx));
            fired = true;
        }
        fired
    }

    pub(crate) fn seed(&mut self, seed: u64) {
        // Zero would stay zero.
        self.random = seed | 1;
    }

    #[inline]
    pub(crate) fn random(&mut self) -> u64 {
        // xorshift64*: not for secrets.
        let mut x = self.random;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random = x;
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn finish(&mut self, host: &mut dyn Host) {
        for id in 0..self.slots.len() {
            self.with_element(host, id, |element, cx| element.cleanup(cx));
        }
    }

    pub(crate) fn take_over(&mut self, old: &mut Engine) {
        for id in 0..self.slots.len() {
            let slot = &mut self.slots[id];
            let Some(&other) = old.by_name.get(&slot.name) else { continue };
            let other = &mut old.slots[other];
            if other.class.name == slot.class.name
                && let (Some(new), Some(old)) = (&mut slot.element, &mut other.element)
            {
                new.take_over(old.as_mut());
            }
            for i in 0..self.slots[id].listeners.len() {
                self.schedule(self.slots[id].listeners[i]);
            }
        }
    }
}
