//! What an element is ([`Element`]), what class it belongs to ([`Class`]), and what it may use of the router that runs it
//! ([`Context`]).

mod class;
mod context;

use crate::packet::Batch;
use alloc::string::String;
use core::any::Any;

pub use crate::host::{DeviceId, DeviceInfo, Host, Outside};
pub use class::{Class, Described, Flow, Handler, argument, keyword, read, read_write, write};
pub use context::Context;

/// Nanoseconds.
pub type Nanos = u64;

/// An element.
///
/// Most do one thing to each packet and implement [`Element::simple_action`] alone; it serves push and pull. Those that choose
/// outputs implement [`Element::push`], those that choose inputs or hold packets [`Element::pull`].
///
/// Nothing here calls another element directly. What [`Context::output`] is given is delivered when the element is
/// done, in order and before anything else; so there is no recursion, and no element is entered twice.
pub trait Element: Any + Send {
    /// Packets on their way from input 0 to output 0. What is not to go there is taken out of the batch, and sent
    /// elsewhere with [`Context::output`], or dropped.
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let _ = (cx, batch);
    }

    /// Packets pushed into an input.
    #[inline]
    fn push(&mut self, cx: &mut Context<'_>, port: usize, mut batch: Batch) {
        let _ = port;
        self.simple_action(cx, &mut batch);
        cx.output(0, batch);
    }

    /// Whether [`Element::pull`] is implemented. Otherwise the router pulls from input 0 and calls [`Element::simple_action`].
    fn owns_pull(&self) -> bool {
        false
    }

    /// The input that an output is pulled from, if [`Element::owns_pull`] is not so; the element may be pulled through on
    /// the way there again.
    fn source_of(&self, output: usize) -> usize {
        let _ = output;
        0
    }

    /// At most `most` packets that an output is asked for. Who gives none although asked must see to it that those
    /// downstream are woken when there are some: by the elements upstream that gave none, or with a timer.
    fn pull(&mut self, cx: &mut Context<'_>, port: usize, most: usize) -> Batch {
        let _ = (cx, port, most);
        Batch::new()
    }

    /// Before the first packet, in order of [`Element::phase`]. An error keeps the router from starting.
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        let _ = cx;
        Ok(())
    }

    /// Elements of a lower phase are initialized first.
    fn phase(&self) -> i32 {
        0
    }

    /// Works for a moment when scheduled ([`Context::schedule`]); whether it wants to work again at once.
    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        let _ = cx;
        false
    }

    /// Its timer ([`Context::wake_at`]) has come.
    fn timer(&mut self, cx: &mut Context<'_>) {
        cx.schedule();
    }

    /// Value of a handler of its class. `argument` is what follows the handler's name, usually nothing.
    fn read(&mut self, cx: &mut Context<'_>, handler: &str, argument: &str) -> Result<String, String> {
        let _ = (cx, handler, argument);
        Ok(String::new())
    }

    /// Writes a handler of its class.
    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        let _ = (cx, handler, value);
        Ok(())
    }

    /// The router has stopped for good, and no other takes its place.
    fn cleanup(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }

    /// Takes over the state of an element of the same name and class in a configuration that ends.
    fn take_over(&mut self, old: &mut dyn Element) {
        let _ = old;
    }

    /// Name of the device it wants, if any.
    fn device(&self) -> Option<&str> {
        None
    }

    /// It pulls packets in [`Element::run_task`], and wants to be scheduled when there may be some upstream.
    fn is_puller(&self) -> bool {
        false
    }

    /// How many packets it holds, if it is a queue.
    fn stored(&self) -> Option<usize> {
        None
    }

    /// It calls [`Context::notify`].
    fn notifies(&self) -> bool {
        false
    }

    /// [`Element::run_task`] is called in every round: it asks a device for packets.
    fn is_poller(&self) -> bool {
        false
    }

    /// It uses what only the first thread of a program has, such as signals.
    fn needs_first_thread(&self) -> bool {
        false
    }

    /// It decides when the router stops; there is one such element at most.
    fn is_driver(&self) -> bool {
        false
    }

    /// Somebody asked the router to stop. `true`: this element, a script that drives the router, sees to it.
    fn driver_stop(&mut self, cx: &mut Context<'_>) -> bool {
        let _ = cx;
        false
    }
}
