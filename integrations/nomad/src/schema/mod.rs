//! Which HCL is taken: [`agent`] for the `plugin` block of Nomad's client, [`job`] for the `config` block of a task. Here is how that
//! is written down (hclspec) and how what was written comes back (msgpack).

pub mod agent;
pub mod job;

use crate::proto::hclspec::spec::Block as Kind;
use crate::proto::hclspec::{Attr, BlockList, Default as Otherwise, Literal, Object, Spec};
use serde::de::DeserializeOwned;

/// Several attributes and blocks.
fn object<const N: usize>(fields: [(&str, Spec); N]) -> Spec {
    let attributes = fields.into_iter().map(|(name, spec)| (name.to_owned(), spec)).collect();
    Spec { block: Some(Kind::Object(Object { attributes })) }
}

/// `name = value`, which may be left out.
fn attribute(name: &str, kind: &str) -> Spec {
    Spec { block: Some(Kind::Attr(Attr { name: name.into(), r#type: kind.into(), required: false })) }
}

/// `name = value`, which must be there.
fn required(name: &str, kind: &str) -> Spec {
    Spec { block: Some(Kind::Attr(Attr { name: name.into(), r#type: kind.into(), required: true })) }
}

/// `name = value`, and what it is if left out, as HCL writes it.
fn with_default(name: &str, kind: &str, literal: &str) -> Spec {
    let default = Spec { block: Some(Kind::Literal(Literal { value: literal.into() })) };
    let both = Otherwise { primary: Some(Box::new(attribute(name, kind))), default: Some(Box::new(default)) };
    Spec { block: Some(Kind::Default(Box::new(both))) }
}

/// `name { ... }`, any number of times.
fn blocks(name: &str, nested: Spec) -> Spec {
    let list = BlockList { name: name.into(), min_items: 0, max_items: 0, nested: Some(Box::new(nested)) };
    Spec { block: Some(Kind::BlockList(Box::new(list))) }
}

/// What was written. Fields are maps by name; those that nobody knows here are left alone.
fn read<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, String> {
    if bytes.is_empty() {
        return Ok(T::default());
    }
    rmp_serde::from_slice(bytes).map_err(|e| format!("the configuration cannot be read: {e}"))
}

/// What HCL leaves empty is null, and stands for the default.
fn or_default<'de, D: serde::Deserializer<'de>, T: serde::Deserialize<'de> + Default>(
    d: D,
) -> Result<T, D::Error> {
    Ok(<Option<T> as serde::Deserialize>::deserialize(d)?.unwrap_or_default())
}
