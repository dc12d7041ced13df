//! Guest images: those that come with MicroVisor, and imported ones, kept by what is in them. An image is a file: a guest in
//! ring 3, or the archive of a Linux guest's bundle, which is unpacked beside it.

mod draft;

pub use draft::Draft;

use crate::failpoint;
use crate::store::Store;
use api::Problem;
use api::image::{Image, Kind};
use api::instance::is_name;
use bundle::Bundle;
use bundle::archive::{self, MAGIC_END};
use draft::cannot;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use vmm::image::{Image as Ring3, large_pages};

/// Ending of the folder that an archive is unpacked to.
const UNPACKED: &str = ".image";

/// An image whose file was opened and checked.
#[derive(Clone)]
pub struct OpenImage {
    /// What the API says of it.
    pub image: Image,
    /// Its file.
    pub path: PathBuf,
    /// What it wants.
    pub guest: Guest,
}

/// What an image is.
#[derive(Clone)]
pub enum Guest {
    /// A program in ring 3.
    Ring3(Arc<Ring3Image>),
    /// A Linux kernel with what it is started with.
    Linux(Arc<Bundle>),
}

/// An image for ring 3, which instances map from one copy in memory.
pub struct Ring3Image {
    /// The image as it was checked.
    pub checked: Ring3,
    /// The copy, made for the first instance; `None` where small pages of the file do as well.
    copy: OnceLock<Option<File>>,
}

impl Ring3Image {
    /// What instances map instead of the image's file, if they should.
    pub fn copy(&self) -> Option<&File> {
        let made = || match large_pages::is_worthwhile(&self.checked)
            .then(|| large_pages::copy(&self.checked))
            .transpose()
        {
            Ok(copy) => copy,
            Err(e) => {
                tracing::warn!("{}: instances start more slowly: {e}", self.checked.path.display());
                None
            }
        };
        self.copy.get_or_init(made).as_ref()
    }
}

impl OpenImage {
    /// What instances map instead of the image's file, if they should.
    pub fn copy(&self) -> Option<&File> {
        match &self.guest {
            Guest::Ring3(guest) => guest.copy(),
            Guest::Linux(_) => None,
        }
    }
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
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn open_image(name: &str, path: &Path, id: String, size: u64, built_in: bool) -> Result<OpenImage, Problem> {
    let (name, path) = (name.to_owned(), path.to_owned());
    if is_archive(&path)? {
        let guest = Bundle::open(&unpacked(&path)?, false)?;
        let image = Image {
            name,
            kind: Kind::Linux,
            id,
            size,
            built_in,
            memory_mib: guest.description.memory_mib,
            config_format: String::new(),
            vcpus: guest.description.cpus,
            disk_bytes: guest.disk_length()?,
        };
        return Ok(OpenImage { image, path, guest: Guest::Linux(Arc::new(guest)) });
    }
    let checked = Ring3::open(&path)?;
    let image = Image {
        name,
        kind: Kind::Ring3,
        id,
        size,
        built_in,
        memory_mib: checked.note.memory_default >> 20,
        config_format: checked.config_format(),
        vcpus: 1,
        disk_bytes: 0,
    };
    let guest = Guest::Ring3(Arc::new(Ring3Image { checked, copy: OnceLock::new() }));
    Ok(OpenImage { image, path, guest })
}

fn is_archive(path: &Path) -> Result<bool, Problem> {
    let mut beginning = Vec::with_capacity(MAGIC_END);
    let read = File::open(path).and_then(|file| file.take(MAGIC_END as u64).read_to_end(&mut beginning));
    read.map_err(|e| cannot(path, &e))?;
    Ok(archive::is_archive(&beginning))
}

/// The folder that an archive is unpacked to.
fn folder_of(archive: &Path) -> PathBuf {
    let mut name = OsString::from(archive);
    name.push(UNPACKED);
    name.into()
}

/// Where an archive is unpacked; it is, if it was not yet. Of one that is refused nothing is left.
fn unpacked(archive: &Path) -> Result<PathBuf, Problem> {
    let folder = folder_of(archive);
    if folder.is_dir() {
        return Ok(folder);
    }
    let parent = archive.parent().unwrap_or(Path::new("."));
    let draft = parent.join(format!(".{}", uuid::Uuid::now_v7()));
    std::fs::create_dir(&draft).map_err(|e| cannot(&draft, &e))?;
    let file = File::open(archive).map_err(|e| cannot(archive, &e));
    let whole = file.and_then(|file| Ok(archive::unpack(file, &draft)?));
    failpoint::reach("image::unpacked");
    let kept = whole.and_then(|()| match std::fs::rename(&draft, &folder) {
        // Another request was faster.
        Err(_) if folder.is_dir() => Ok(()),
        outcome => outcome.map_err(|e| cannot(&folder, &e)),
    });
    if draft.exists() {
        let _ = std::fs::remove_dir_all(&draft);
    }
    kept.map(|()| folder)
}

/// Removes the folder that an archive was unpacked to, if it was.
fn remove_folder(archive: &Path) {
    let _ = std::fs::remove_dir_all(folder_of(archive));
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
            let name = entry.file_name();
            let id = name.to_str().map(|name| name.strip_suffix(UNPACKED).unwrap_or(name));
            if !id.is_some_and(|id| known.contains(id)) {
                let _ = std::fs::remove_file(entry.path());
                let _ = std::fs::remove_dir_all(entry.path());
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

    /// How long a guest of an image has to stop unless told otherwise, milliseconds: one with a kernel ends its services, and
    /// writes to its disk.
    pub fn grace_ms(&self, name: &str) -> u32 {
        match self.find(name) {
            Ok(OpenImage { guest: Guest::Linux(_), .. }) => 20_000,
            _ => 2_000,
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

    /// A place for the bytes of an image that is imported.
    pub fn draft(&self) -> Result<Draft, Problem> {
        Draft::new(&self.folder)
    }

    /// Imports an image: checked, kept under its digest, which may be `expected`, and named.
    pub fn import(&self, name: &str, draft: &Draft, expected: Option<&str>) -> Result<Image, Problem> {
        if !is_name(name) {
            return Err(Problem::invalid(format!("{name:?} cannot name an image")));
        }
        if self.built_in.contains_key(name) {
            return Err(Problem::taken("built-in image", name));
        }
        let (written, id, size) = draft.finish()?;
        if expected.is_some_and(|expected| !expected.eq_ignore_ascii_case(&id)) {
            return Err(Problem::invalid(format!("its SHA-256 is {id}, not the expected one")));
        }
        let path = self.folder.join(&id);
        let fresh = !path.exists();
        if fresh {
            let image = open_image(name, written, id.clone(), size, false)?;
            if image.image.kind == Kind::Linux
                && let Err(e) = std::fs::rename(folder_of(written), folder_of(&path))
                && !folder_of(&path).is_dir()
            {
                return Err(cannot(&path, &e));
            }
            if let Err(e) = std::fs::rename(written, &path) {
                remove_folder(&path);
                return Err(cannot(&path, &e));
            }
        }
        failpoint::reach("image::written");
        let put = self.store.put_image(name, &id, size);
        if !matches!(put, Ok(true)) && fresh {
            let _ = std::fs::remove_file(&path);
            remove_folder(&path);
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
            return Err(Problem::conflict(format!("{name} is built in and cannot be removed")));
        }
        let Some((id, last)) = self.store.forget_image(name)? else {
            return Err(Problem::absent("image", name));
        };
        if last {
            self.opened.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            let path = self.folder.join(&id);
            let _ = std::fs::remove_file(&path);
            remove_folder(&path);
        }
        Ok(())
    }
}
