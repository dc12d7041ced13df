//! The guest-physical space of an instance: [`layout`] places the parts of guest memory, [`page_tables`] maps them,
//! [`descriptor_tables`] has the processor's tables and the fault gates, and [`boot_page`] tells the guest where everything is.

pub mod boot_page;
pub mod descriptor_tables;
pub mod layout;
pub mod page_tables;
