//! Every call of Nomad's, against a real node with real guests; and what drivers get wrong.

mod commands;
mod emulator;
mod networks;
mod plugin;
mod protocol;
mod recovery;
mod tasks;
