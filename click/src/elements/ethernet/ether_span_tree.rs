use super::bridge_message::{Configuration, Message, Priority, Times};
use crate::args::{Args, Ethernet};
use crate::element::{Context, Element, Nanos, read};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Above the address: unlikely to be the least, so that others become the root.
const PRIORITY: u64 = 0xdead;
/// What each port adds to the path.
const COST: u32 = 1;
/// What a message that is passed on has aged at least.
const AGED: Nanos = 1_000_000_000;

crate::element! {
    /// Keeps Ethernet switches from forwarding in circles (IEEE 802.1D-1998 spanning tree).
    ///
    /// Takes bridges' messages in and sends its own; by these it suppresses ports of the two Suppressors in front of and
    /// behind a switch. Messages are frames with LLC addresses 0x4242: `Classifier(14/4242, -)` finds them.
    ///
    /// # Arguments
    /// `ADDR`: the switch's Ethernet address. `INPUT_SUPPRESSOR`, `OUTPUT_SUPPRESSOR`: the two Suppressors, of which only
    /// eight ports can be suppressed. `SWITCH`: the EtherSwitch, which forgets its addresses when the tree changes.
    ///
    /// # Handlers
    /// `msgs`: the best message heard on each port, its state, and the bridge's own.
    EtherSpanTree "1-8/=" "h/h"
    keywords ["ADDR", "INPUT_SUPPRESSOR", "OUTPUT_SUPPRESSOR", "SWITCH"]
    handlers [read("msgs")]
    {
        address: [u8; 6],
        suppressors: [String; 2],
        switch: String,
        ports: Vec<Port>,
        best: Priority,
        times: Times,
        root_port: Option<usize>,
        /// The root is to be told of a change, or tells others of it until then.
        tells: bool,
        changes_until: Nanos,
    }
}

/// What a port does with frames (802.1D-1998, section 8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Blocking,
    Listening,
    Learning,
    Forwarding,
}

#[derive(Clone, Copy)]
struct Port {
    state: State,
    since: Nanos,
    /// The best that was heard.
    heard: Priority,
    times: Times,
    /// When what was heard was said by the root.
    said: Nanos,
    /// The root says that the topology changes.
    changes: bool,
    /// The next message says that a change was heard of.
    answers: bool,
}

impl EtherSpanTree {
    fn new(args: &mut Args<'_>) -> Self {
        let address = args.required::<Ethernet>("ADDR").0;
        let suppressors = [args.required("INPUT_SUPPRESSOR"), args.required("OUTPUT_SUPPRESSOR")];
        Self {
            address,
            suppressors,
            switch: args.required("SWITCH"),
            ports: Vec::new(),
            best: Priority::WORST,
            times: Times::default(),
            root_port: None,
            tells: false,
            changes_until: 0,
        }
    }

    fn bridge_id(&self) -> u64 {
        let [a, b, c, d, e, f] = self.address;
        PRIORITY << 48 | u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }

    /// What this bridge would say on a port.
    fn offer(&self, port: usize) -> Priority {
        Priority { bridge: self.bridge_id(), port: 0x8000 | (port as u16 + 1), ..self.best }
    }

    fn is_designated(&self, port: usize) -> bool {
        Some(port) != self.root_port && self.offer(port) < self.ports[port].heard
    }

    fn set(&mut self, cx: &mut Context<'_>, port: usize, state: State) {
        let before = core::mem::replace(&mut self.ports[port].state, state);
        self.ports[port].since = cx.now();
        let passes = [state as u8 >= State::Learning as u8, state == State::Forwarding];
        for (name, passes) in self.suppressors.iter().zip(passes) {
            // There is such a port: that was tried at the beginning.
            let _ = cx.write_handler(&format!("{name}.active{port}"), if passes { "true" } else { "false" });
        }
        let was_open = matches!(before, State::Learning | State::Forwarding);
        if state == State::Forwarding || (state == State::Blocking && was_open) {
            self.changed(cx);
        }
    }

    /// The tree has changed: the root is to know, and the switch learns anew.
    fn changed(&mut self, cx: &mut Context<'_>) {
        if self.root_port.is_some() {
            self.tells = true;
        } else {
            self.changes_until = cx.now() + self.times.age + self.times.delay;
        }
        self.forget(cx);
    }

    fn forget(&self, cx: &mut Context<'_>) {
        let timeout = format!("{}.timeout", self.switch);
        if let Ok(value) = cx.read_handler(&timeout) {
            let _ = cx.write_handler(&timeout, "0");
            let _ = cx.write_handler(&timeout, value.trim());
        }
    }

    /// Finds the root and each port's part in the tree (802.1D-1998, sections 8.6.8 and 8.6.11).
    fn find_tree(&mut self, cx: &mut Context<'_>) {
        let own = self.bridge_id();
        (self.best, self.root_port) = (Priority { root: own, cost: 0, bridge: own, port: 0 }, None);
        for (number, port) in self.ports.iter().enumerate() {
            let through = Priority { cost: port.heard.cost.saturating_add(COST), ..port.heard };
            if through < self.best && port.heard.bridge != own {
                (self.best, self.root_port) = (through, Some(number));
            }
        }
        self.times = self.root_port.map_or(Times::default(), |port| self.ports[port].times);
        for port in 0..self.ports.len() {
            let within = Some(port) == self.root_port || self.is_designated(port);
            match (within, self.ports[port].state) {
                (true, State::Blocking) => self.set(cx, port, State::Listening),
                (false, State::Listening | State::Learning | State::Forwarding) => {
                    self.set(cx, port, State::Blocking);
                }
                _ => {}
            }
        }
    }

    /// Says on a port who is root.
    fn say(&mut self, cx: &mut Context<'_>, port: usize) {
        let now = cx.now();
        let (age, changes) = match self.root_port {
            None => (0, now < self.changes_until),
            Some(root) => (now.saturating_sub(self.ports[root].said) + AGED, self.ports[root].changes),
        };
        if age >= self.times.age {
            return;
        }
        let heard = core::mem::take(&mut self.ports[port].answers);
        let (priority, times) = (self.offer(port), self.times);
        self.send(cx, port, &Message::Configuration(Configuration { priority, age, times, changes, heard }));
    }

    fn send(&self, cx: &mut Context<'_>, port: usize, message: &Message) {
        if let Some(packet) = Packet::from_bytes(&message.frame(self.address)) {
            cx.output_one(port, packet);
        }
    }

    fn receive_bpdu(&mut self, cx: &mut Context<'_>, port: usize, message: Message) {
        let now = cx.now();
        match message {
            Message::Change => {
                if self.is_designated(port) {
                    self.ports[port].answers = true;
                    self.changed(cx);
                    self.say(cx, port);
                }
            }
            Message::Configuration(said) => {
                if said.age >= said.times.age {
                    return;
                }
                let known = self.ports[port].heard;
                let same = (said.priority.bridge, said.priority.port) == (known.bridge, known.port);
                if said.priority > known && !same {
                    // Who says so does not know better: it is told.
                    if self.is_designated(port) {
                        self.say(cx, port);
                    }
                    return;
                }
                let changes = said.changes && !self.ports[port].changes;
                let heard = &mut self.ports[port];
                (heard.heard, heard.times, heard.changes) = (said.priority, said.times, said.changes);
                heard.said = now.saturating_sub(said.age);
                self.find_tree(cx);
                if Some(port) == self.root_port {
                    self.tells &= !said.heard;
                    if changes {
                        self.forget(cx);
                    }
                    self.pass_on(cx);
                }
            }
        }
    }

    /// What came on the root port is said on all others at once.
    fn pass_on(&mut self, cx: &mut Context<'_>) {
        for port in 0..self.ports.len() {
            if self.is_designated(port) {
                self.say(cx, port);
            }
        }
    }
}

impl Element for EtherSpanTree {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        let (count, now) = (cx.outputs(), cx.now());
        if !cx.has_element(&self.switch) {
            return Err(format!("SWITCH: no element named '{}'", self.switch));
        }
        for name in &self.suppressors {
            for port in 0..count {
                cx.write_handler(&format!("{name}.active{port}"), "false")
                    .map_err(|_| format!("{name} is no Suppressor with {count} ports"))?;
            }
        }
        let port = Port {
            state: State::Listening,
            since: now,
            heard: Priority::WORST,
            times: Times::default(),
            said: now,
            changes: false,
            answers: false,
        };
        self.ports = alloc::vec![port; count];
        self.find_tree(cx);
        cx.wake_at(now + self.times.hello);
        Ok(())
    }

    fn push(&mut self, cx: &mut Context<'_>, port: usize, mut batch: Batch) {
        while let Some(packet) = batch.pop() {
            if let Some(message) = Message::read(packet.data()) {
                self.receive_bpdu(cx, port, message);
            }
        }
    }

    fn timer(&mut self, cx: &mut Context<'_>) {
        let now = cx.now();
        for port in 0..self.ports.len() {
            let Port { state, since, said, times, heard, .. } = self.ports[port];
            if heard != Priority::WORST && now.saturating_sub(said) >= times.age {
                self.ports[port].heard = Priority::WORST;
            }
            if now.saturating_sub(since) >= self.times.delay {
                match state {
                    State::Listening => self.set(cx, port, State::Learning),
                    State::Learning => self.set(cx, port, State::Forwarding),
                    _ => {}
                }
            }
        }
        self.find_tree(cx);
        match self.root_port {
            // Others pass on what the root says; this one begins.
            None => (0..self.ports.len()).for_each(|port| self.say(cx, port)),
            Some(root) if self.tells => self.send(cx, root, &Message::Change),
            Some(_) => {}
        }
        cx.wake_at(now + self.times.hello);
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        let line = |p: &Priority| format!("{:016x}:{:04x} {} -> {:016x}", p.bridge, p.port, p.cost, p.root);
        let mut text = String::new();
        for (number, port) in self.ports.iter().enumerate() {
            let state = format!("{:?}", port.state).to_ascii_lowercase();
            let heard = if port.heard == Priority::WORST { "nothing".into() } else { line(&port.heard) };
            text += &format!("{number} {state} {heard}\n");
        }
        Ok(text + &line(&self.best) + "\n")
    }
}
