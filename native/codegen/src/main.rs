//! Turns `proto/snakepit.proto` into the Rust of `native/protocol/src/generated`.
//!
//! Run it after a change of the contract: `cargo run -p snakepit_codegen`. The result is
//! checked in, so that nobody who builds Snakepit needs a protobuf compiler.

use std::error::Error;
use std::path::Path;

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorSet};

/// The message that stands for every map's entry; written by hand.
const ENTRY: &str = "Entry";

fn main() -> Result<(), Box<dyn Error>> {
    let native = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("the codegen crate has no parent directory")?;
    let root = native.parent().ok_or("native/ has no parent directory")?;
    let out = native.join("protocol/src/generated");

    let mut descriptors =
        protox::compile([root.join("proto/snakepit.proto")], [root.join("proto")])?;
    // Reflection serves the contract as it is written, before the change below.
    std::fs::write(out.join("descriptor.bin"), descriptors.encode_to_vec())?;
    flatten_maps(&mut descriptors);

    tonic_prost_build::configure()
        .bytes(".")
        .extern_path(".snakepit.Entry", "crate::Entry")
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .client_mod_attribute(".", "#[cfg(feature = \"client\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"server\")]")
        .out_dir(&out)
        .compile_fds(descriptors)?;
    Ok(())
}

/// Declares every map field as what it is on the wire: a repeated message of key and value,
/// one type for all of them.
///
/// The bytes stay the same. A list keeps the order in which Python built its dict, and costs no
/// hashing; the keys are bytes, checked as text where they become text.
fn flatten_maps(set: &mut FileDescriptorSet) {
    for file in &mut set.file {
        let package = format!(".{}", file.package());
        for message in &mut file.message_type {
            let name = format!("{package}.{}", message.name());
            flatten_message(message, &name, &format!("{package}.{ENTRY}"));
        }
    }
}

fn flatten_message(message: &mut DescriptorProto, name: &str, entry: &str) {
    let is_map = |nested: &DescriptorProto| nested.options.as_ref().is_some_and(|o| o.map_entry());
    let maps: Vec<String> = message
        .nested_type
        .extract_if(.., |nested| is_map(nested))
        .map(|nested| format!("{name}.{}", nested.name()))
        .collect();
    for field in &mut message.field {
        if maps.iter().any(|map| map == field.type_name()) {
            field.type_name = Some(entry.to_owned());
        }
    }
}
