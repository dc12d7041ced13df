//! Elements that packets do not pass: names, scripts.

mod address_info;
mod instruction;
mod script;
mod value;

pub use address_info::AddressInfo;
pub use script::Script;
