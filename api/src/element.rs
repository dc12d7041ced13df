//! Elements of Click files, as their manual describes them.

use serde::{Deserialize, Serialize};

/// A class of elements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Element {
    /// Its name.
    pub name: String,
    /// What it is about: the folder of the manual.
    pub subject: String,
    /// What it does, in a sentence.
    pub summary: String,
    /// How many ports, as Click writes it: `1/1-2`.
    pub ports: String,
    /// What they do, as Click writes it: `h` push, `l` pull, `a` either.
    pub processing: String,
    /// Keywords of its arguments.
    pub keywords: Vec<String>,
    /// Its handlers, beside those that every element has.
    pub handlers: Vec<ElementHandler>,
    /// Its page of the manual, Markdown; only where one element is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manual: Option<String>,
}

/// A handler of a class of elements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ElementHandler {
    /// Its name; `*` stands for names that depend on the configuration.
    pub name: String,
    /// Whether it can be read.
    pub read: bool,
    /// Whether it can be written.
    pub write: bool,
}
