//! A small executor for asynchronous guests: tasks, timers, drivers, and one place to sleep.
//!
//! A round polls the control ring and every driver, fires timers that are due, and polls every task that was woken.
//! A round in which nothing happened ends in [`idle::wait`], until a driver's source, the control ring or the next
//! deadline wakes the guest.

use crate::clock::{self, Instant};
use crate::control::{self, RequestHandler};
use crate::global::Global;
use crate::idle::{self, Source};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;

/// Tasks that spawn tasks that spawn tasks, run in one round at the most.
const GENERATIONS: usize = 8;

/// Work that is polled in every round and wakes tasks by their wakers, such as a TCP/IP stack.
pub trait Driver: Source {
    /// Does the work that there is; returns whether there was any.
    fn poll(&mut self, now: Instant) -> bool;
    /// When it has to be polled again even if no source is signalled.
    fn deadline(&mut self, now: Instant) -> Option<Instant>;
}

/// Whether a task was woken since it was last polled.
struct WakeFlag(AtomicBool);

impl WakeFlag {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    woken: Arc<WakeFlag>,
}

/// What tasks have added while the executor polled them; it is moved to the executor after each round.
struct Added {
    tasks: Vec<Task>,
    timers: Vec<(Instant, Waker)>,
    drivers: Vec<Box<dyn Driver>>,
    handler: Option<Box<dyn RequestHandler>>,
}

static ADDED: Global<Added> =
    Global::new(Added { tasks: Vec::new(), timers: Vec::new(), drivers: Vec::new(), handler: None });

/// Starts a task. It runs as long as [`run`] does.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    let task = Task { future: Box::pin(future), woken: WakeFlag::new() };
    ADDED.with(|added| added.tasks.push(task));
}

/// Adds a driver to those that are polled.
pub fn add_driver(driver: impl Driver + 'static) {
    ADDED.with(|added| added.drivers.push(Box::new(driver)));
}

/// Sets the handler of the operator's requests. Without one, requests are replied to as unsupported.
pub fn set_request_handler(handler: impl RequestHandler + 'static) {
    ADDED.with(|added| added.handler = Some(Box::new(handler)));
}

/// Waits until a moment.
pub async fn sleep_until(moment: Instant) {
    let mut registered = false;
    core::future::poll_fn(|context: &mut Context<'_>| {
        if clock::now() >= moment {
            return Poll::Ready(());
        }
        if !core::mem::replace(&mut registered, true) {
            ADDED.with(|added| added.timers.push((moment, context.waker().clone())));
        }
        Poll::Pending
    })
    .await
}

/// Waits for some time.
pub async fn sleep(duration: Duration) {
    sleep_until(clock::now() + duration).await
}

/// Lets every other task run once.
pub async fn yield_now() {
    let mut yielded = false;
    core::future::poll_fn(|context: &mut Context<'_>| {
        if core::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Runs a future, and the tasks spawned meanwhile, until it is done.
pub fn run<T>(main: impl Future<Output = T>) -> T {
    control::defer_doorbell(true);
    let result = poll_until_ready(main);
    control::defer_doorbell(false);
    result
}

fn poll_until_ready<T>(main: impl Future<Output = T>) -> T {
    let mut main = pin!(main);
    let main_woken = WakeFlag::new();
    let waker = Waker::from(main_woken.clone());
    let mut tasks: Vec<Task> = Vec::new();
    let mut timers: Vec<(Instant, Waker)> = Vec::new();
    let mut drivers: Vec<Box<dyn Driver>> = Vec::new();
    let mut handler: Box<dyn RequestHandler> = Box::new(control::unsupported);
    loop {
        let mut worked = control::poll(&mut *handler);
        let now = clock::now();
        for driver in &mut drivers {
            worked |= driver.poll(now);
        }
        timers.retain(|(moment, waker)| {
            if *moment <= now {
                waker.wake_by_ref();
            }
            *moment > now
        });
        if main_woken.take() {
            worked = true;
            if let Poll::Ready(result) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                return result;
            }
        }
        // New tasks run before the drivers do: what they listen for may have come already.
        let mut polled = core::mem::take(&mut tasks);
        for _ in 0..GENERATIONS {
            polled.retain_mut(|task| {
                if !task.woken.take() {
                    return true;
                }
                worked = true;
                let waker = Waker::from(task.woken.clone());
                task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
            });
            tasks.append(&mut polled);
            ADDED.with(|added| polled.append(&mut added.tasks));
            if polled.is_empty() {
                break;
            }
        }
        tasks.append(&mut polled);
        ADDED.with(|added| {
            timers.append(&mut added.timers);
            drivers.append(&mut added.drivers);
            if let Some(newer) = added.handler.take() {
                handler = newer;
            }
        });
        if !worked {
            let timer = timers.iter().map(|(moment, _)| *moment).min();
            let now = clock::now();
            let deadline = drivers.iter_mut().filter_map(|d| d.deadline(now)).chain(timer).min();
            let mut sources: Vec<&mut dyn Source> = Vec::with_capacity(drivers.len());
            for driver in &mut drivers {
                sources.push(&mut **driver);
            }
            idle::wait(&mut sources, deadline);
        }
    }
}
