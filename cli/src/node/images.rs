//! `microvisor image`: images of the node.

use super::{context, escaped};
use crate::completion;
use crate::output::{self, Failure};
use crate::process;
use api::client::Method;
use api::client::{Body, Client};
use api::image::{Image, Kind, LONGEST};
use clap::Subcommand;
use clap_complete::engine::ArgValueCandidates;
use machine::status;
use std::fs::File;
use std::io::Seek;
use std::path::{Path, PathBuf};

/// What can be done with images.
#[derive(Clone, Debug, Subcommand)]
pub enum ImageCommand {
    /// List images
    #[command(after_help = "Example: microvisor image ls")]
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Import an image
    #[command(after_help = "Example: microvisor image import router.elf --name router")]
    Import {
        /// The image: a file, a Linux guest's bundle, or an http:// or https:// address that the node fetches itself
        file: PathBuf,
        /// Name of the image [default: the file's name without its extension]
        #[arg(long)]
        name: Option<String>,
        /// Refuse the image unless its SHA-256 is this, in hexadecimal
        #[arg(long, value_name = "SHA256")]
        id: Option<String>,
    },
    /// Delete imported images
    #[command(after_help = "Example: microvisor image rm router")]
    Rm {
        /// Names of images
        #[arg(required = true, add = ArgValueCandidates::new(completion::imported_images))]
        names: Vec<String>,
    },
}

fn table(images: &[Image]) -> String {
    let row = |i: &Image| {
        let origin = if i.built_in { "built in" } else { "imported" };
        let id = i.id.get(..12).unwrap_or(&i.id).to_owned();
        let (size, memory) = (format!("{} KiB", i.size.div_ceil(1024)), format!("{} MiB", i.memory_mib));
        let kind = match i.kind {
            Kind::Ring3 => "ring-3",
            Kind::Linux => "linux",
        };
        vec![i.name.clone(), kind.into(), id, size, memory, origin.into()]
    };
    let rows: Vec<Vec<String>> = images.iter().map(row).collect();
    output::table(&["NAME", "KIND", "ID", "SIZE", "MEMORY", "ORIGIN"], &rows)
}

/// The file to send: a bundle's archive, which is in no folder, or the file itself.
fn opened(file: &Path) -> Result<File, Failure> {
    let cannot =
        |e: std::io::Error| Failure::new(format!("{}: {e}", file.display()), status::CONFIGURATION_REFUSED);
    if !file.is_dir() {
        return File::open(file).map_err(cannot);
    }
    let mut archive = process::memory_file().map(File::from).map_err(cannot)?;
    bundle::archive::pack(file, &mut archive)?;
    archive.rewind().map_err(cannot)?;
    Ok(archive)
}

fn import(client: &Client, file: &Path, name: Option<&str>, id: Option<&str>) -> Result<(), Failure> {
    let refused = |message: String| Failure::new(message, status::CONFIGURATION_REFUSED);
    let text = file.to_string_lossy();
    let is_url = text.starts_with("http://") || text.starts_with("https://");
    let body = if is_url { None } else { Some(opened(file)?) };
    let length = body.as_ref().and_then(|body| body.metadata().ok()).map_or(0, |m| m.len());
    if length > LONGEST as u64 {
        let (has, most) = (length.div_ceil(1 << 20), LONGEST >> 20);
        return Err(refused(format!("{}: {has} MiB; an image has at most {most}", file.display())));
    }
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let name = name.unwrap_or(&stem);
    if !api::instance::is_name(name) {
        return Err(refused(format!("{name:?} cannot name an image")).hint("choose another: --name"));
    }
    let mut query = format!("name={name}");
    if is_url {
        query += &format!("&url={}", escaped(&text));
    }
    if let Some(id) = id {
        query += &format!("&id={}", escaped(id));
    }
    let body = body.map_or(Body::None, Body::File);
    client.bytes(Method::POST, &format!("/v1/images?{query}"), body)?;
    Ok(())
}

/// `microvisor image`
pub fn image(command: &ImageCommand) -> Result<(), Failure> {
    let client = context::required()?;
    match command {
        ImageCommand::Ls { json } => {
            let images: Vec<Image> = client.get("/v1/images")?;
            if *json { output::json(&images) } else { output::print(table(&images)) }
        }
        ImageCommand::Import { file, name, id } => import(&client, file, name.as_deref(), id.as_deref()),
        ImageCommand::Rm { names } => {
            output::each(names, |name| Ok(client.delete(&format!("/v1/images/{}", escaped(name)))?))
        }
    }
}
