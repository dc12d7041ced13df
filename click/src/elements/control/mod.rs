//! Elements that packets do not pass: names, scripts, other handlers.

mod address_info;
mod alignment_info;
mod error;
mod function;
mod handler_proxy;
mod information;
mod instruction;
mod names;
mod notifier_debug;
mod number;
mod port_info;
mod random_seed;
mod reach;
mod schedule_info;
mod script;
#[cfg(feature = "host")]
mod sprintf;
mod static_thread_sched;
mod value;

pub use address_info::AddressInfo;
pub use alignment_info::AlignmentInfo;
pub use error::{Error, ErrorElement};
pub use handler_proxy::HandlerProxy;
pub use information::ClickyInfo;
pub use notifier_debug::NotifierDebug;
pub use port_info::PortInfo;
pub use random_seed::RandomSeed;
pub use schedule_info::ScheduleInfo;
pub use script::{DriverManager, Script};
pub use static_thread_sched::StaticThreadSched;
