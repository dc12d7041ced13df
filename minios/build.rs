//! Lets the linker of any guest find `guest.ld` by its name.

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the crate is");
    println!("cargo:rustc-link-search={here}");
    println!("cargo:rerun-if-changed=guest.ld");
}
