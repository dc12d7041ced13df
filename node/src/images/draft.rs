//! A file on its way to become an image: written piece by piece, hashed meanwhile, removed again unless it is kept.

use api::Problem;
use api::image::LONGEST;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What has come so far.
pub struct Draft {
    path: PathBuf,
    file: File,
    hash: Sha256,
    length: u64,
}

/// What a host has refused about images.
pub fn cannot(path: &Path, e: &io::Error) -> Problem {
    match e.kind() {
        io::ErrorKind::StorageFull => Problem::host("no space is left for images"),
        _ => Problem::host(format!("{}: {e}", path.display())),
    }
}

/// An image that is too long.
pub fn too_long() -> Problem {
    Problem { status: 413, ..Problem::invalid(format!("an image has at most {} MiB", LONGEST >> 20)) }
}

impl Draft {
    /// An empty one, in the folder of images.
    pub fn new(folder: &Path) -> Result<Self, Problem> {
        let path = folder.join(format!(".{}", uuid::Uuid::now_v7()));
        let file = File::create(&path).map_err(|e| cannot(&path, &e))?;
        Ok(Self { path, file, hash: Sha256::new(), length: 0 })
    }

    /// Takes the next bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.length += bytes.len() as u64;
        if self.length > LONGEST as u64 {
            return Err(too_long());
        }
        self.hash.update(bytes);
        self.file.write_all(bytes).map_err(|e| cannot(&self.path, &e))
    }

    /// Its path, its digest and its length, when all of it has come and is on the disk.
    pub(super) fn finish(&self) -> Result<(&Path, String, u64), Problem> {
        self.file.sync_all().map_err(|e| cannot(&self.path, &e))?;
        Ok((&self.path, super::hexadecimal(&self.hash.clone().finalize()), self.length))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // One that was kept has another name.
        let _ = std::fs::remove_file(&self.path);
        super::remove_folder(&self.path);
    }
}
