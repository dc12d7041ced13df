//! The layout of an instance's guest memory.

use crate::image::Image;
use abi::boot::{BootPage, NetDevice, Queue, Range};
use abi::control::{ControlPage, RING_SIZE};
use abi::layout::{DATA_BASE, PAGE_SIZE};
use abi::virtqueue::{available_bytes, descriptors_bytes, used_bytes};
use machine::error::Error;

/// The sizes that determine the layout, in addition to the image.
pub struct LayoutRequest {
    /// Guest memory, bytes.
    pub memory: u64,
    /// Bytes of command line.
    pub command_line: u64,
    /// Bytes of configuration.
    pub config: u64,
    /// Entries of each net device's queues.
    pub queue_sizes: Vec<u32>,
}

/// Address ranges of the parts of guest memory. Each starts on a page boundary.
#[derive(Clone, Debug)]
pub struct Layout {
    /// All of guest memory.
    pub memory: Range,
    /// Stack, without its guard pages.
    pub stack: Range,
    /// Boot page.
    pub boot: u64,
    /// Command line, behind the boot page.
    pub command_line: Range,
    /// Configuration, behind the command line.
    pub config: Range,
    /// Guest page.
    pub guest_page: u64,
    /// Control page.
    pub control_page: u64,
    /// Bytes of the ring from monitor to guest.
    pub to_guest: Range,
    /// Bytes of the ring from guest to monitor.
    pub to_host: Range,
    /// Receive and transmit queue of each net device.
    pub queues: Vec<[Queue; 2]>,
    /// Heap: the rest of guest memory.
    pub heap: Range,
}

/// Allocates ranges from low to high addresses.
struct Cursor(u64);

impl Cursor {
    fn take(&mut self, length: u64) -> Range {
        let range = Range { base: self.0, length };
        self.0 = self.0.saturating_add(length);
        range
    }

    fn next_page(&mut self) -> u64 {
        self.0 = self.0.checked_next_multiple_of(PAGE_SIZE).unwrap_or(u64::MAX);
        self.0
    }
}

impl Layout {
    /// Places the parts. Errors: the memory is too small; the error says how much is needed.
    pub fn new(image: &Image, request: &LayoutRequest) -> Result<Self, Error> {
        let mut at = Cursor(image.data_end());
        at.take(PAGE_SIZE);
        let stack = at.take(image.note.stack_size);
        at.take(PAGE_SIZE);
        let boot = at.take(size_of::<BootPage>() as u64).base;
        at.next_page();
        let command_line = at.take(request.command_line);
        let config = at.take(request.config);
        at.next_page();
        let guest_page = at.take(PAGE_SIZE).base;
        let control_page = at.take(size_of::<ControlPage>() as u64).base;
        at.next_page();
        let mut queues = Vec::with_capacity(request.queue_sizes.len());
        for (device, &size) in request.queue_sizes.iter().enumerate() {
            let pair = [0, 1].map(|queue| Self::queue(&mut at, device as u32, queue, size));
            queues.push(pair);
        }
        let to_host = at.take(RING_SIZE.into());
        let to_guest = at.take(RING_SIZE.into());
        at.next_page();
        let end = DATA_BASE + request.memory;
        let heap_least = image.note.heap_touched.max(PAGE_SIZE);
        if at.0.saturating_add(heap_least) > end {
            let needed = (at.0.saturating_sub(DATA_BASE)).saturating_add(heap_least).div_ceil(1 << 10);
            return Err(Error::image(format!(
                "{} with this configuration needs {needed} KiB of memory, not {}",
                image.name(),
                request.memory >> 10
            )));
        }
        let heap = Range { base: at.0, length: end - at.0 };
        let memory = Range { base: DATA_BASE, length: request.memory };
        Ok(Self {
            memory,
            stack,
            boot,
            command_line,
            config,
            guest_page,
            control_page,
            to_guest,
            to_host,
            queues,
            heap,
        })
    }

    fn queue(at: &mut Cursor, device: u32, queue: u32, size: u32) -> Queue {
        let descriptors = at.take(descriptors_bytes(size)).base;
        let available = at.take(available_bytes(size)).base;
        at.0 = at.0.next_multiple_of(64);
        let used = at.take(used_bytes(size)).base;
        at.next_page();
        Queue { descriptors, available, used, size, doorbell: abi::registers::doorbell_net(device, queue) }
    }

    /// Ranges that the guest uses while it boots, which are populated in advance: data, top of the stack, boot page to queues,
    /// start of the rings and of the heap.
    pub fn touched(&self, image: &Image) -> Vec<Range> {
        let data = Range { base: DATA_BASE, length: image.data_end() - DATA_BASE };
        let top = (2 * PAGE_SIZE).min(self.stack.length);
        let stack = Range { base: self.stack.base + self.stack.length - top, length: top };
        let boot = Range { base: self.boot, length: self.to_host.base + PAGE_SIZE - self.boot };
        let heap = Range { base: self.heap.base, length: image.note.heap_touched.clamp(1, self.heap.length) };
        let mut touched = vec![stack, boot, heap];
        if data.length > 0 {
            touched.push(data);
        }
        touched
    }

    /// The pages of guest memory that the guest can only read: boot page, command line, configuration.
    pub fn read_only(&self) -> Range {
        Range { base: self.boot, length: self.guest_page - self.boot }
    }

    /// Writes the queue addresses into the boot page's entry of a device.
    pub fn net_device(&self, index: usize, device: NetDevice) -> NetDevice {
        let [receive, transmit] = self.queues[index];
        NetDevice { receive, transmit, ..device }
    }
}
