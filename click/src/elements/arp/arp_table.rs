use super::cache::Cache;
use crate::args::{Args, Ethernet, Ipv4, Time};
use crate::element::{Context, Element, read, write};
use crate::handlers::parse;
use alloc::format;
use alloc::string::{String, ToString};
use core::any::Any;

crate::element! {
    /// Remembers which Ethernet addresses IP addresses have, for several `ARPQuerier`s.
    ///
    /// # Arguments
    /// `CAPACITY` (2048): packets that may wait in all, then half of them are dropped (or another part: one in
    /// `CAPACITY_SLIM_FACTOR` (2)), those first that wait for the
    /// oldest address; `ENTRY_PACKET_CAPACITY` (0): for one address, further ones are dropped; `ENTRY_CAPACITY` (4096):
    /// addresses known at once, then the oldest are forgotten; 0: no limit. `TIMEOUT` (300 s): how long an answer is
    /// believed; 0: for ever.
    ///
    /// # Handlers
    /// `table`: addresses, the oldest first: whether each is known, its Ethernet address, its age. `count`: how many.
    /// `length`: packets waiting. `drops`: packets given up. `stats`: these together. `insert`: `IP ETH`, to be known
    /// from now on. `delete`: an address to forget. `clear`: forgets all.
    ARPTable "0/0" "a/a"
    keywords ["CAPACITY", "ENTRY_CAPACITY", "ENTRY_PACKET_CAPACITY", "CAPACITY_SLIM_FACTOR", "TIMEOUT"]
    handlers [
        read("table"), read("count"), read("length"), read("drops"), read("stats"), write("insert"), write("delete"),
        write("clear"),
    ]
    { pub(super) cache: Cache }
}

impl ARPTable {
    fn new(args: &mut Args<'_>) -> Self {
        let timeout = args.key("TIMEOUT").unwrap_or(Time(300_000_000_000)).0;
        Self { cache: Cache::from_arguments(args, timeout) }
    }
}

impl Element for ARPTable {
    fn timer(&mut self, cx: &mut Context<'_>) {
        let now = cx.now();
        self.cache.expire(now);
        if let Some(time) = self.cache.next(now) {
            cx.wake_at(time);
        }
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<Self>() {
            self.cache.take_over(&mut old.cache);
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "count" => self.cache.len().to_string(),
            "length" => self.cache.waiting.to_string(),
            "drops" => self.cache.drops.to_string(),
            "stats" => format!("{} packets killed\n{} entries\n", self.cache.drops, self.cache.len()),
            _ => self.cache.table(cx.now()),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "clear" => self.cache.clear(),
            "delete" => {
                let address: Ipv4 = parse(cx, value)?;
                if !self.cache.forget(&address) {
                    return Err(format!("no entry for {address}"));
                }
            }
            _ => {
                let (ip, eth) = value.split_once(char::is_whitespace).ok_or("expected 'IP ETH'")?;
                let (ip, eth): (Ipv4, Ethernet) = (parse(cx, ip)?, parse(cx, eth)?);
                // Packets that wait for it have no way out from here.
                let now = cx.now();
                let waited = self.cache.learn(ip, eth.0, now, true);
                self.cache.drops += waited.len() as u64;
                if let Some(time) = self.cache.next(now) {
                    cx.wake_by(time);
                }
            }
        }
        Ok(())
    }
}
