//! `microvisor inspect`: facts about an image, or about a running instance.

use super::{call, unexpected, up_words};
use crate::images;
use crate::output::{self, Failure};
use machine::control::{Instance, Request, Response};
use std::path::{Path, PathBuf};
use std::time::Duration;
use vmm::image::{Access, Image};

/// `microvisor inspect`
pub fn inspect(what: &str, json: bool) -> Result<(), Failure> {
    let is_file = Path::new(what).is_file();
    if !is_file && let Ok(answer) = call(what, &Request::Inspect) {
        return match answer {
            Response::Instance(instance) if json => output::json(&instance),
            Response::Instance(instance) => output::print(instance_words(what, &instance)),
            _ => Err(unexpected(what)),
        };
    }
    let image = images::find(what, None)?.image;
    if json { output::json(&ImageFacts::of(&image)) } else { output::print(image_words(&image)) }
}

fn instance_words(name: &str, i: &Instance) -> String {
    let mut text = format!(
        "instance  {name}\nimage     {}\nstate     {}\nup        {}\nmemory    {} KiB\nmonitor   process {}\n",
        i.image,
        if i.ready { "ready" } else { "starting" },
        up_words(Duration::from_nanos(i.up_ns)),
        i.memory >> 10,
        i.pid,
    );
    for (n, net) in i.net.iter().enumerate() {
        if let Some(back_end) = net.vhost_user {
            let state = if back_end.connected { "connected" } else { "not connected" };
            text.push_str(&format!("net {n}     vhost-user, {state}, {} so far\n", back_end.back_ends));
            continue;
        }
        text.push_str(&format!(
            "net {n}     {} packets to the guest, {} from it, {} refused by the host\n",
            net.received, net.transmitted, net.refused
        ));
    }
    text
}

/// An image in JSON.
#[derive(serde::Serialize)]
struct ImageFacts {
    name: String,
    path: PathBuf,
    abi: String,
    cpu_level: u32,
    memory_minimum: u64,
    memory_default: u64,
    stack: u64,
    net_minimum: u16,
    net_maximum: u16,
    net_features: Vec<&'static str>,
    config: &'static str,
    config_format: String,
    text: u64,
    constants: u64,
    data: u64,
    file: u64,
}

impl ImageFacts {
    fn of(image: &Image) -> Self {
        let sum = |access| image.segments.iter().filter(|s| s.access == access).map(|s| s.length).sum();
        let note = &image.note;
        Self {
            name: image.name(),
            path: image.path.clone(),
            abi: format!("{}.{}", note.version_major, note.version_minor),
            cpu_level: note.cpu_level,
            memory_minimum: note.memory_minimum,
            memory_default: note.memory_default,
            stack: note.stack_size,
            net_minimum: note.net_minimum,
            net_maximum: note.net_maximum,
            net_features: machine::net::feature_names(note.net_features),
            config: ["none", "optional", "required"].get(note.config as usize).copied().unwrap_or("?"),
            config_format: image.config_format(),
            text: sum(Access::Execute),
            constants: sum(Access::Read),
            data: sum(Access::Write),
            file: image.file.metadata().map_or(0, |m| m.len()),
        }
    }
}

fn image_words(image: &Image) -> String {
    let f = ImageFacts::of(image);
    let format = if f.config_format.is_empty() { String::new() } else { format!(" ({})", f.config_format) };
    let features = if f.net_features.is_empty() { "none".into() } else { f.net_features.join(", ") };
    format!(
        "image          {} ({})\n\
         guest ABI      {}\n\
         processor      x86-64 level {} or better\n\
         memory         {} KiB by default, {} KiB at least\n\
         stack          {} KiB\n\
         net devices    {} to {}; features it can use: {features}\n\
         configuration  {}{format}\n\
         size           {} KiB file: {} KiB text, {} KiB constants, {} KiB data\n",
        f.name,
        f.path.display(),
        f.abi,
        f.cpu_level,
        f.memory_default >> 10,
        f.memory_minimum >> 10,
        f.stack >> 10,
        f.net_minimum,
        f.net_maximum,
        f.config,
        f.file.div_ceil(1024),
        f.text.div_ceil(1024),
        f.constants.div_ceil(1024),
        f.data.div_ceil(1024),
    )
}
