//! Compiles the definitions, without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = ["base.proto", "driver.proto", "plugin.proto", "health.proto", "rpc_status.proto"];
    let set = protox::compile(files, ["proto"])?;
    tonic_prost_build::configure().include_file("definitions.rs").compile_fds(set)?;
    Ok(())
}
