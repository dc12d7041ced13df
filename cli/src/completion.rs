//! What a shell offers after Tab: the names of instances, images, networks, flavors and elements that there are now.

use crate::local::list;
use crate::node::{context, instances};
use api::flavor::Flavor;
use api::image::Image;
use api::network::Network;
use clap_complete::engine::{CompletionCandidate, PathCompleter, ValueCompleter};
use std::collections::BTreeSet;
use std::ffi::OsStr;

fn candidates(names: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    names.into_iter().collect::<BTreeSet<_>>().into_iter().map(CompletionCandidate::new).collect()
}

fn node_names() -> Vec<String> {
    let all = context::find().and_then(|client| instances::all(&client).ok());
    all.into_iter().flatten().map(|i| i.name).collect()
}

/// Instances, with and without the node.
pub fn instances() -> Vec<CompletionCandidate> {
    candidates(list::running().into_iter().map(|r| r.name).chain(node_names()))
}

/// Instances of the node.
pub fn node_instances() -> Vec<CompletionCandidate> {
    candidates(node_names())
}

/// What the node has at a path of its API; nothing if there is no node.
fn on_node<T: serde::de::DeserializeOwned>(path: &str) -> Vec<T> {
    context::find().and_then(|client| client.get(path).ok()).unwrap_or_default()
}

/// Networks of the node.
pub fn networks() -> Vec<CompletionCandidate> {
    candidates(on_node::<Network>("/v1/networks").into_iter().map(|n| n.name))
}

/// Flavors of the node.
pub fn flavors() -> Vec<CompletionCandidate> {
    candidates(on_node::<Flavor>("/v1/flavors").into_iter().map(|f| f.name))
}

/// Images that were imported to the node.
pub fn imported_images() -> Vec<CompletionCandidate> {
    candidates(on_node::<Image>("/v1/images").into_iter().filter(|i| !i.built_in).map(|i| i.name))
}

fn image_names() -> Vec<String> {
    let built_in = vmm::image::builtin::all().into_iter().map(|(name, _)| name);
    built_in.chain(on_node::<Image>("/v1/images").into_iter().map(|i| i.name)).collect()
}

/// Classes of elements.
pub fn elements() -> Vec<CompletionCandidate> {
    candidates(crate::engine::element_names().map(str::to_owned))
}

/// Those of `names` that begin as the word does, and files.
fn or_file(names: Vec<CompletionCandidate>, word: &OsStr) -> Vec<CompletionCandidate> {
    let begin = word.to_string_lossy();
    let matches = |c: &CompletionCandidate| c.get_value().to_string_lossy().starts_with(&*begin);
    names.into_iter().filter(matches).chain(PathCompleter::file().complete(word)).collect()
}

/// What can be run: images by name, and files.
pub fn runnable(word: &OsStr) -> Vec<CompletionCandidate> {
    or_file(candidates(image_names()), word)
}

/// What can be inspected: instances, images by name, and files.
pub fn inspectable(word: &OsStr) -> Vec<CompletionCandidate> {
    let mut names = instances();
    names.extend(candidates(image_names()));
    or_file(names, word)
}
