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
/// Most elements do one thing to each packet and implement only [`Element::simple_action`], which serves push and pull. Elements
/// that choose outputs implement [`Element::push`]; those that choose inputs or hold packets implement [`Element::pull`].
///
/// Elements do not call each other directly. Packets that are passed to [`Context::output`] are delivered when the element
/// returns, in order and before anything else. So there is no recursion, and no element is entered twice.
pub trait Element: Any + Send {
    /// Processes packets on their way from input 0 to output 0. To send a packet elsewhere or drop it, remove it from the batch, and
    /// use [`Context::output`].
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let _ = (cx, batch);
    }

    /// Receives packets that are pushed into an input.
    #[inline]
    fn push(&mut self, cx: &mut Context<'_>, port: usize, mut batch: Batch) {
        let _ = port;
        self.simple_action(cx, &mut batch);
        cx.output(0, batch);
    }

    /// Whether [`Element::pull`] is implemented. If not, the router pulls from input 0 and calls [`Element::simple_action`].
    fn owns_pull(&self) -> bool {
        false
    }

    /// The input that an output is pulled from, if [`Element::owns_pull`] is false.
    fn source_of(&self, output: usize) -> usize {
        let _ = output;
        0
    }

    /// Returns at most `most` packets for an output. An element that returns none must make sure that the elements downstream are woken
    /// when there are some: by the elements upstream, or with a timer.
    fn pull(&mut self, cx: &mut Context<'_>, port: usize, most: usize) -> Batch {
        let _ = (cx, port, most);
        Batch::new()
    }

    /// Called before the first packet, in the order of [`Element::phase`]. After an error, the router does not start.
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        let _ = cx;
        Ok(())
    }

    /// Elements of a lower phase are initialized first.
    fn phase(&self) -> i32 {
        0
    }

    /// Runs the element's task, when it is scheduled ([`Context::schedule`]). Returns whether to schedule it again at once.
    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        let _ = cx;
        false
    }

    /// Called when its timer ([`Context::wake_at`]) expires.
    fn timer(&mut self, cx: &mut Context<'_>) {
        cx.schedule();
    }

    /// Reads a handler of its class. `argument` is the text after the handler's name, usually empty.
    fn read(&mut self, cx: &mut Context<'_>, handler: &str, argument: &str) -> Result<String, String> {
        let _ = (cx, handler, argument);
        Ok(String::new())
    }

    /// Writes a handler of its class.
    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        let _ = (cx, handler, value);
        Ok(())
    }

    /// Called when the router has stopped for good and is not replaced.
    fn cleanup(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }

    /// Takes the state of an element with the same name and class in the configuration that this one replaces.
    fn take_over(&mut self, old: &mut dyn Element) {
        let _ = old;
    }

    /// Name of the device that it uses, if any.
    fn device(&self) -> Option<&str> {
        None
    }

    /// Whether it pulls packets in [`Element::run_task`], and has to be scheduled when there may be some upstream.
    fn is_puller(&self) -> bool {
        false
    }

    /// Number of packets in it, if it is a queue.
    fn stored(&self) -> Option<usize> {
        None
    }

    /// Whether it calls [`Context::notify`].
    fn notifies(&self) -> bool {
        false
    }

    /// Whether [`Element::run_task`] is called in every round, because it polls a device.
    fn is_poller(&self) -> bool {
        false
    }

    /// Whether it needs the program's first thread, for example for signals.
    fn needs_first_thread(&self) -> bool {
        false
    }

    /// Whether it decides when the router stops. There may be one such element.
    fn is_driver(&self) -> bool {
        false
    }

    /// Called when the router is asked to stop. Returns true if this element, a script that drives the router, handles it.
    fn driver_stop(&mut self, cx: &mut Context<'_>) -> bool {
        let _ = cx;
        false
    }
}
