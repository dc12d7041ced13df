//! Elements that number aggregates tell others when one has ended, so that these need not remember it for ever.

use super::{AggregateFirst, AggregateIPAddrPair, AggregateIPFlows, AggregateLast};
use crate::args::Args;
use crate::element::Context;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::any::Any;

/// Who is told that aggregates have ended.
#[derive(Default)]
pub struct Listeners(Vec<usize>);

impl Listeners {
    /// Tells that an aggregate has ended.
    pub fn flow_ended(&self, cx: &mut Context<'_>, aggregate: u32) {
        for &id in &self.0 {
            let Some(element) = cx.element(id) else { continue };
            let element = element as &mut dyn Any;
            if let Some(first) = element.downcast_mut::<AggregateFirst>() {
                first.forget(aggregate);
            } else if let Some(last) = element.downcast_mut::<AggregateLast>() {
                last.let_go(aggregate);
                cx.schedule_other(id);
            }
        }
    }
}

/// The argument `NOTIFIER`: an element's name.
pub fn argument(args: &mut Args<'_>) -> Option<String> {
    args.key("NOTIFIER")
}

/// Has this element told by the one that was named.
///
/// # Errors
///
/// There is no such element, or it tells nothing.
pub fn listen(cx: &mut Context<'_>, name: &str) -> Result<(), String> {
    let own = cx.id();
    let id = cx.find(name).ok_or_else(|| format!("NOTIFIER: no element named '{name}'"))?;
    let listeners = cx.element(id).and_then(|element| listeners(element));
    let Some(Listeners(listeners)) = listeners else {
        return Err(format!("{name} is not an AggregateNotifier"));
    };
    if !listeners.contains(&own) {
        listeners.push(own);
    }
    Ok(())
}

/// Those whom an element tells, if it tells anybody.
fn listeners(element: &mut dyn Any) -> Option<&mut Listeners> {
    if element.is::<AggregateIPAddrPair>() {
        return element.downcast_mut::<AggregateIPAddrPair>().map(|e| &mut e.listeners);
    }
    element.downcast_mut::<AggregateIPFlows>().map(|e| &mut e.listeners)
}
