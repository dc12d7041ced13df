//! Elements that packets do not pass: names, scripts.

mod address_info;
mod script;

pub use address_info::AddressInfo;
pub use script::Script;
