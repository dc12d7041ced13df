//! `microvisor image`: images of the node.

use super::{context, escaped};
use crate::completion;
use crate::output::{self, Failure};
use api::client::Method;
use api::client::{Body, Client};
use api::image::{Image, LONGEST};
use clap::Subcommand;
use clap_complete::engine::ArgValueCandidates;
use machine::status;
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
        /// The image: a file, or an http:// or https:// address that the node fetches itself
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
        vec![i.name.clone(), id, size, memory, origin.into()]
    };
    let rows: Vec<Vec<String>> = images.iter().map(row).collect();
    output::table(&["NAME", "ID", "SIZE", "MEMORY", "ORIGIN"], &rows)
}

fn import(client: &Client, file: &Path, name: Option<&str>, id: Option<&str>) -> Result<(), Failure> {
    let refused = |message: String| Failure::new(message, status::CONFIGURATION_REFUSED);
    let text = file.to_string_lossy();
    let is_url = text.starts_with("http://") || text.starts_with("https://");
    let length = std::fs::metadata(file).map_or(0, |m| m.len());
    if !is_url && length > LONGEST as u64 {
        let (has, most) = (length.div_ceil(1 << 20), LONGEST >> 20);
        return Err(refused(format!("{}: {has} MiB; an image has at most {most}", file.display())));
    }
    let bytes = match is_url {
        true => Vec::new(),
        false => std::fs::read(file).map_err(|e| refused(format!("{}: {e}", file.display())))?,
    };
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
    client.bytes(Method::POST, &format!("/v1/images?{query}"), Body::Bytes(bytes))?;
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
