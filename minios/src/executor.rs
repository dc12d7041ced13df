//! A small executor for asynchronous guests: tasks, timers, drivers, and one place to sleep.
//!
//! A round polls the control ring and every driver, fires timers that are due, and polls every task that was woken.
//! A round in which nothing happened ends in [`idle::wait`], until a driver's source, the control ring or the next
//! deadline wakes the guest.

use crate::clock::{self, Instant};
use crate::control::{self, Answer};
use crate::idle::{self, Source};
use crate::solo::Solo;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;

/// Something that does its work when it is polled, and wakes tasks by their wakers: a TCP/IP stack, say.
pub trait Driver: Source {
    /// Does what there is to do; whether there was anything.
    fn poll(&mut self, now: Instant) -> bool;
    /// When it has to be polled again even if no source is signalled.
    fn deadline(&mut self, now: Instant) -> Option<Instant>;
}

/// Whether a task was woken since it was last polled.
struct Woken(AtomicBool);

impl Woken {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    woken: Arc<Woken>,
}

/// What tasks leave for the executor while they run.
struct Inbox {
    tasks: Vec<Task>,
    timers: Vec<(Instant, Waker)>,
    drivers: Vec<Box<dyn Driver>>,
    answer: Option<Box<dyn Answer>>,
}

static INBOX: Solo<Inbox> =
    Solo::new(Inbox { tasks: Vec::new(), timers: Vec::new(), drivers: Vec::new(), answer: None });

/// Starts a task. It runs as long as [`run`] does.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    let task = Task { future: Box::pin(future), woken: Woken::new() };
    INBOX.with(|inbox| inbox.tasks.push(task));
}

/// Adds a driver to those that are polled.
pub fn attach(driver: impl Driver + 'static) {
    INBOX.with(|inbox| inbox.drivers.push(Box::new(driver)));
}

/// Sets who answers the operator's requests from now on; without anyone they are answered as unsupported.
pub fn serve(answer: impl Answer + 'static) {
    INBOX.with(|inbox| inbox.answer = Some(Box::new(answer)));
}

/// Waits until a moment.
pub async fn sleep_until(moment: Instant) {
    let mut asked = false;
    core::future::poll_fn(|context: &mut Context<'_>| {
        if clock::now() >= moment {
            return Poll::Ready(());
        }
        if !core::mem::replace(&mut asked, true) {
            INBOX.with(|inbox| inbox.timers.push((moment, context.waker().clone())));
        }
        Poll::Pending
    })
    .await
}

/// Waits for some time.
pub async fn sleep(duration: Duration) {
    sleep_until(clock::now() + duration).await
}

/// Lets every other task have a turn.
pub async fn turn() {
    let mut had = false;
    core::future::poll_fn(|context: &mut Context<'_>| {
        if core::mem::replace(&mut had, true) {
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
    let result = rounds(main);
    control::defer_doorbell(false);
    result
}

fn rounds<T>(main: impl Future<Output = T>) -> T {
    let mut main = pin!(main);
    let main_woken = Woken::new();
    let waker = Waker::from(main_woken.clone());
    let mut tasks: Vec<Task> = Vec::new();
    let mut timers: Vec<(Instant, Waker)> = Vec::new();
    let mut drivers: Vec<Box<dyn Driver>> = Vec::new();
    let mut answer: Box<dyn Answer> = Box::new(control::unsupported);
    loop {
        let mut worked = control::poll(&mut *answer);
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
        tasks.retain_mut(|task| {
            if !task.woken.take() {
                return true;
            }
            worked = true;
            let waker = Waker::from(task.woken.clone());
            task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
        });
        INBOX.with(|inbox| {
            tasks.append(&mut inbox.tasks);
            timers.append(&mut inbox.timers);
            drivers.append(&mut inbox.drivers);
            if let Some(newer) = inbox.answer.take() {
                answer = newer;
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
