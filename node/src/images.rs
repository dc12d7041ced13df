//! Guest images: those that come with MicroVisor, and imported ones, kept by what is in them.

use crate::failpoint;
use crate::store::Store;
use api::Problem;
use api::image::Image;
use api::instance::is_name;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use vmm::image::Image as Guest;

/// An image whose file was opened and checked.
#[derive(Clone)]
pub struct OpenImage {
    /// What the API says of it.
    pub image: Image,
    /// Its file.
    pub path: PathBuf,
    /// What it wants.
    pub guest: Arc<Guest>,
}

/// All images.
pub struct Images {
    store: Arc<Store>,
    folder: PathBuf,
    built_in: HashMap<String, OpenImage>,
    /// Imported ones that were opened, by id.
    opened: Mutex<HashMap<String, OpenImage>>,
}

/// SHA-256 in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn open_image(name: &str, path: &Path, id: String, size: u64, built_in: bool) -> Result<OpenImage, Problem> {
    let guest = Guest::open(path)?;
    let image = Image {
        name: name.into(),
        id,
        size,
        built_in,
        memory_mib: guest.note.memory_default >> 20,
        config_format: guest.config_format(),
    };
    Ok(OpenImage { image, path: path.into(), guest: Arc::new(guest) })
}

impl Images {
    /// Those that come with MicroVisor are opened now; imported ones lie in a folder of the state.
    pub fn open(store: Arc<Store>, state: &Path) -> Result<Self, Problem> {
        let folder = state.join("images");
        std::fs::create_dir_all(&folder).map_err(|e| Problem::host(format!("{}: {e}", folder.display())))?;
        let mut built_in = HashMap::new();
        for (name, path) in vmm::image::builtin::all() {
            let read = std::fs::read(&path).map_err(|e| Problem::host(format!("{}: {e}", path.display())))?;
            built_in.insert(name.clone(), open_image(&name, &path, digest(&read), read.len() as u64, true)?);
        }
        // Files of imports that a former daemon did not finish.
        let known: HashSet<String> = store.images()?.into_iter().map(|(_, id)| id).collect();
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if !entry.file_name().to_str().is_some_and(|id| known.contains(id)) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(Self { store, folder, built_in, opened: Mutex::default() })
    }

    fn imported(&self, name: &str, id: &str) -> Result<OpenImage, Problem> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = opened.get(id) {
            return Ok(OpenImage {
                image: Image { name: name.into(), ..found.image.clone() },
                ..found.clone()
            });
        }
        let path = self.folder.join(id);
        let size =
            std::fs::metadata(&path).map_err(|e| Problem::node(format!("{}: {e}", path.display())))?.len();
        let new = open_image(name, &path, id.into(), size, false)?;
        opened.insert(id.into(), new.clone());
        Ok(new)
    }

    /// An image by name or id.
    pub fn find(&self, name: &str) -> Result<OpenImage, Problem> {
        if let Some(found) =
            self.built_in.get(name).or_else(|| self.built_in.values().find(|f| f.image.id == name))
        {
            return Ok(found.clone());
        }
        let all = self.store.images()?;
        match all.iter().find(|(n, id)| n == name || id == name) {
            Some((name, id)) => self.imported(name, id),
            None => {
                let mut known: Vec<&str> = self.built_in.keys().map(String::as_str).collect();
                known.extend(all.iter().map(|(n, _)| n.as_str()));
                known.sort_unstable();
                Err(Problem::absent("image", name).hint(format!("there are {}", known.join(", "))))
            }
        }
    }

    /// All images, by name.
    pub fn all(&self) -> Result<Vec<Image>, Problem> {
        let mut all: Vec<Image> = self.built_in.values().map(|f| f.image.clone()).collect();
        for (name, id) in self.store.images()? {
            match self.imported(&name, &id) {
                Ok(found) => all.push(found.image),
                // One that is damaged hides no other.
                Err(e) => tracing::error!(image = name, "{e}"),
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Imports an image: checked, kept under its digest, which may be `expected`, and named.
    pub fn import(&self, name: &str, bytes: &[u8], expected: Option<&str>) -> Result<Image, Problem> {
        if !is_name(name) {
            return Err(Problem::invalid(format!("{name:?} cannot name an image")));
        }
        if self.built_in.contains_key(name) {
            return Err(Problem::taken("built-in image", name));
        }
        let id = digest(bytes);
        if expected.is_some_and(|expected| !expected.eq_ignore_ascii_case(&id)) {
            return Err(Problem::invalid(format!("its SHA-256 is {id}, not the one that was expected")));
        }
        let path = self.folder.join(&id);
        let cannot = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::StorageFull => Problem::host("no space is left for images"),
            _ => Problem::host(format!("{}: {e}", path.display())),
        };
        let fresh = !path.exists();
        if fresh {
            let draft = self.folder.join(format!(".{}", uuid::Uuid::now_v7()));
            let written = std::fs::File::create(&draft)
                .and_then(|mut f| f.write_all(bytes).and_then(|()| f.sync_all()));
            let kept = written
                .map_err(cannot)
                .and_then(|()| open_image(name, &draft, id.clone(), bytes.len() as u64, false))
                .and_then(|_| std::fs::rename(&draft, &path).map_err(cannot));
            if let Err(e) = kept {
                let _ = std::fs::remove_file(&draft);
                return Err(e);
            }
        }
        failpoint::reach("image::written");
        let put = self.store.put_image(name, &id, bytes.len() as u64);
        if !matches!(put, Ok(true)) && fresh {
            let _ = std::fs::remove_file(&path);
        }
        if !put? {
            return Err(Problem::taken("image", name));
        }
        failpoint::reach("image::kept");
        Ok(self.imported(name, &id)?.image)
    }

    /// Forgets an imported image. Instances that run go on: their monitors have it open.
    pub fn remove(&self, name: &str) -> Result<(), Problem> {
        if self.built_in.contains_key(name) {
            return Err(Problem::conflict(format!("{name} comes with MicroVisor and stays")));
        }
        let Some((id, last)) = self.store.forget_image(name)? else {
            return Err(Problem::absent("image", name));
        };
        if last {
            self.opened.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            let _ = std::fs::remove_file(self.folder.join(&id));
        }
        Ok(())
    }
}
