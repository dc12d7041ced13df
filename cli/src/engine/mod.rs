//! What the command needs the Click engine for: to check a configuration before anything is made, to insert the libraries
//! that it requires, and to print the manual of elements. The feature `click` brings the engine in. Without it, the guest
//! that gets the configuration refuses what is wrong.

#[cfg(not(feature = "click"))]
mod absent;
#[cfg(feature = "click")]
mod check;
#[cfg(feature = "click")]
mod manual;

#[cfg(not(feature = "click"))]
pub use absent::{check, element_names, elements, expand};
#[cfg(feature = "click")]
pub use check::{check, expand};
#[cfg(feature = "click")]
pub use manual::{element_names, elements};
