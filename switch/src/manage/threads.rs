//! The data plane's threads: started once, told what to do, and watched.
#![allow(unsafe_code)]

use crate::config::{Polling, Settings};
use crate::confine;
use crate::forward::SlowPathMessage;
use crate::port::PortEvent;
use crate::worker::events::EVENTS;
use crate::worker::handoff::queue;
use crate::worker::wake::{IN_CALL, Wake, event_fd, signal};
use crate::worker::{Command, Poll, Worker};
use rustix::rand::GetRandomFlags;
use rustix::thread::CpuSet;
use std::any::Any;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Link protocol messages and wanted addresses that wait for the control thread.
const SLOW_PATH_QUEUE: usize = 1024;
/// Interrupts a thread that is stuck in a system call.
const INTERRUPT: libc::c_int = libc::SIGURG;

/// Time between two checks for threads that are stuck in a call.
pub const STUCK_CHECK_INTERVAL: Duration = Duration::from_millis(250);

struct Thread {
    commands: Sender<Command>,
    command_pending: Arc<AtomicBool>,
    wakeup: OwnedFd,
    notifying: Arc<AtomicU64>,
    /// Its call counter at the last check, and for how many checks it has been the same.
    last_call: u64,
    stuck_checks: u32,
    /// How many ports it serves.
    ports: usize,
    join: Option<JoinHandle<()>>,
}

/// All threads.
pub struct Threads {
    threads: Vec<Thread>,
    port_events: Receiver<PortEvent>,
    slow_path: Receiver<SlowPathMessage>,
    wakeup: OwnedFd,
    checked_at: Instant,
    /// Lets go of what the others hand over, until they have all ended.
    retiring: Option<JoinHandle<()>>,
}

extern "C" fn nothing(_: libc::c_int) {}

/// Lets the signal that interrupts a stuck thread do nothing else.
fn allow_interrupts() {
    // SAFETY: an all-zero `sigaction` is valid; the handler does nothing. Without SA_RESTART, system calls return.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        libc::sigaction(INTERRUPT, &raw const action, std::ptr::null_mut());
    }
}

fn random() -> u64 {
    let mut word = [0; 8];
    // Short of entropy it fills less, which is no worse than a fixed key.
    let _ = rustix::rand::getrandom(&mut word[..], GetRandomFlags::empty());
    u64::from_ne_bytes(word)
}

/// Keeps the calling thread on one CPU.
fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("there is no CPU {cpu}")));
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

impl Threads {
    /// Starts as many as are configured.
    pub fn start(settings: &Settings) -> io::Result<Self> {
        allow_interrupts();
        let poll = match settings.polling {
            Polling::Always => Poll::Always,
            Polling::Adaptive => Poll::For(settings.poll_us * 1000),
            Polling::Never => Poll::For(0),
        };
        let wakeup = event_fd()?;
        let (events_sender, port_events) = sync_channel(EVENTS);
        let (slow_path_sender, slow_path) = sync_channel(SLOW_PATH_QUEUE);
        let (retired, to_drop) = channel::<Box<dyn Any + Send>>();
        let retire = move || to_drop.iter().for_each(drop);
        let retiring = Some(std::thread::Builder::new().name("retired".into()).spawn(retire)?);
        let keys = [random(), random()];
        let mut workers = Vec::new();
        let mut threads = Vec::new();
        for index in 0..settings.threads {
            let (commands, received) = channel();
            let wake = Wake::new(retired.clone())?;
            let (command_pending, notifying) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
            threads.push(Thread {
                commands,
                command_pending: command_pending.clone(),
                wakeup: wake.wakeup()?,
                notifying: notifying.clone(),
                last_call: 0,
                stuck_checks: 0,
                ports: 0,
                join: None,
            });
            workers.push(Worker {
                index,
                commands: received,
                command_pending,
                events: events_sender.clone(),
                slow_path: slow_path_sender.clone(),
                manager_wakeup: wakeup.try_clone()?,
                wake,
                sleeping: Arc::default(),
                notifying,
                poll,
                outboxes: (0..settings.threads).map(|_| None).collect(),
                inboxes: Vec::new(),
                keys,
            });
        }
        for from in 0..settings.threads {
            for to in (0..settings.threads).filter(|&to| to != from) {
                let (outbox, inbox) = queue(workers[to].sleeping.clone(), workers[to].wake.wakeup()?);
                workers[from].outboxes[to] = Some(outbox);
                workers[to].inboxes.push(inbox);
            }
        }
        for (thread, worker) in threads.iter_mut().zip(workers) {
            let cpu = settings.cpus.get(worker.index).copied();
            let name = format!("plane-{}", worker.index);
            let run = move || {
                if let Some(Err(e)) = cpu.map(pin) {
                    eprintln!("microvisor-switch: thread {}: CPU {cpu:?}: {e}", worker.index);
                }
                if let Err(e) = confine::data_plane() {
                    eprintln!("microvisor-switch: thread {}: not confined: {e}", worker.index);
                    std::process::abort();
                }
                worker.run();
            };
            thread.join = Some(std::thread::Builder::new().name(name).spawn(run)?);
        }
        Ok(Self { threads, port_events, slow_path, wakeup, checked_at: Instant::now(), retiring })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.threads.len()
    }

    /// The thread that serves the fewest ports.
    pub fn lightest(&self) -> usize {
        self.threads.iter().enumerate().min_by_key(|(_, t)| t.ports).map_or(0, |(index, _)| index)
    }

    /// A thread serves so many ports more, or less.
    pub fn change_port_count(&mut self, thread: usize, more: isize) {
        if let Some(t) = self.threads.get_mut(thread) {
            t.ports = t.ports.saturating_add_signed(more);
        }
    }

    /// Eventfd that threads signal when there is an event or a slow-path message.
    pub fn wakeup_fd(&self) -> BorrowedFd<'_> {
        self.wakeup.as_fd()
    }

    /// A copy of it, for others.
    pub fn wakeup(&self) -> io::Result<OwnedFd> {
        self.wakeup.try_clone()
    }

    /// Clears it.
    pub fn clear_wakeup(&self) {
        let mut word = [0u8; 8];
        // It does not block; that it was clear already is as good.
        let _ = rustix::io::read(&self.wakeup, &mut word[..]);
    }

    /// The next change of a port.
    pub fn port_event(&self) -> Option<PortEvent> {
        self.port_events.try_recv().ok()
    }

    /// The next slow-path message.
    pub fn slow_path_message(&self) -> Option<SlowPathMessage> {
        self.slow_path.try_recv().ok()
    }

    /// What a thread's devices note their calls in.
    pub fn notifying(&self, thread: usize) -> Arc<AtomicU64> {
        self.threads[thread].notifying.clone()
    }

    /// Tells a thread to do something.
    pub fn tell(&self, thread: usize, command: Command) {
        let Some(t) = self.threads.get(thread) else { return };
        // A thread ends only with the switch.
        let _ = t.commands.send(command);
        t.command_pending.store(true, Ordering::Release);
        // The eventfd is ours and does not block.
        let _ = signal(&t.wakeup);
    }

    /// Interrupts threads that have been in the same call of a peer since the last look but one. The call fails, and the
    /// port is closed.
    pub fn watch(&mut self) {
        if self.checked_at.elapsed() < STUCK_CHECK_INTERVAL {
            return;
        }
        self.checked_at = Instant::now();
        for t in &mut self.threads {
            let now = t.notifying.load(Ordering::Relaxed);
            let calls = now & IN_CALL != 0;
            t.stuck_checks = if calls && now == t.last_call { t.stuck_checks + 1 } else { 0 };
            t.last_call = now;
            if t.stuck_checks >= 2
                && let Some(join) = &t.join
            {
                // SAFETY: the thread has not been joined, so its identifier is valid.
                unsafe { libc::pthread_kill(join.as_pthread_t(), INTERRUPT) };
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for index in 0..self.threads.len() {
            self.tell(index, Command::End);
        }
        let planes = self.threads.iter_mut().filter_map(|t| t.join.take()).collect::<Vec<_>>();
        for join in planes.into_iter().chain(self.retiring.take()) {
            // A thread that panicked has said why.
            let _ = join.join();
        }
    }
}
