//! `microvisor inspect`: facts about an image, or about a running instance.

use super::{call, unexpected, up_words};
use crate::images;
use crate::output::{self, Failure};
use bundle::{Bundle, Description};
use linux::boot::info::{Format, KernelInfo, read_kernel_info};
use machine::control::{Instance, Request, Response};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vmm::image::{Access, Image};

/// A kernel or a bundle in JSON.
#[derive(serde::Serialize)]
struct LinuxFacts {
    path: PathBuf,
    kernel: KernelInfo,
    /// Memory that kernel and initial file system need before they run, bytes.
    memory_minimum: u64,
    /// Of a bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle: Option<Description>,
    /// Length of its disk, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_length: Option<u64>,
}

/// What a path is, if that is a bundle or a kernel.
fn linux_guest(path: &Path) -> Result<Option<LinuxFacts>, Failure> {
    let is_named_so = path.extension().is_some_and(|e| e == bundle::EXTENSION);
    if bundle::is_bundle(path) || (is_named_so && path.is_dir()) {
        let bundle = Bundle::open(path, false)?;
        let disk_length = bundle.disk.as_ref().map(|_| bundle.disk_length()).transpose()?;
        return Ok(Some(LinuxFacts {
            path: path.to_owned(),
            memory_minimum: bundle.memory_needed()?,
            kernel: bundle.facts,
            bundle: Some(bundle.description),
            disk_length,
        }));
    }
    if !path.is_file() || Image::open(path).is_ok() {
        return Ok(None);
    }
    // What is neither is told of as an image.
    let kernel = File::open(path).ok().and_then(|file| read_kernel_info(&file, "").ok());
    Ok(kernel.map(|kernel| LinuxFacts {
        path: path.to_owned(),
        memory_minimum: kernel.end,
        kernel,
        bundle: None,
        disk_length: None,
    }))
}

impl LinuxFacts {
    fn words(&self) -> String {
        let format = match self.kernel.format {
            Format::BzImage => "bzImage",
            Format::Vmlinux => "vmlinux",
        };
        let version = self.kernel.version.as_ref().map_or(String::new(), |version| format!(" {version}"));
        let mut text = format!("path           {}\nkernel         {format}{version}\n", self.path.display());
        let least = self.memory_minimum.div_ceil(1 << 20);
        match &self.bundle {
            None => text += &format!("memory         {least} MiB at least\n"),
            Some(bundle) => {
                text += &format!("memory         {} MiB by default, {least} at least\n", bundle.memory_mib);
                text += &format!(
                    "processors     {} by default\ncommand line   {}\n",
                    bundle.cpus, bundle.cmdline
                );
                text += &format!("initrd         {}\n", bundle.initrd.as_deref().unwrap_or("none"));
            }
        }
        if let (Some(bundle), Some(length)) = (&self.bundle, self.disk_length) {
            let (disk, mib) = (bundle.disk.as_deref().unwrap_or_default(), length.div_ceil(1 << 20));
            text += &format!("disk           {disk}, {mib} MiB\n");
        }
        text + "host           needs VT-x or SVM\n"
    }
}

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
    if let Some(guest) = linux_guest(Path::new(what))? {
        return if json { output::json(&guest) } else { output::print(guest.words()) };
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
