//! Turns `proto/snakepit.proto` into the Rust of `native/protocol/src/generated`.
//!
//! Run it after a change of the contract: `cargo run -p snakepit_codegen`. The result is
//! checked in, so that nobody who builds Snakepit needs a protobuf compiler.

use std::error::Error;
use std::path::Path;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::source_code_info::Location;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

// Field numbers in descriptor.proto, of which source locations are made.
const MESSAGE_IN_FILE: i32 = 4;
const FIELD_IN_MESSAGE: i32 = 2;

/// The message that stands for every map's entry.
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
        let index = file.message_type.len() as i32;
        file.message_type.push(entry());
        // The generator looks up the place of everything in the source; the entry has none.
        let paths = [
            vec![MESSAGE_IN_FILE, index],
            vec![MESSAGE_IN_FILE, index, FIELD_IN_MESSAGE, 0],
            vec![MESSAGE_IN_FILE, index, FIELD_IN_MESSAGE, 1],
        ];
        let info = file.source_code_info.get_or_insert_default();
        info.location.extend(paths.map(|path| Location { path, ..Location::default() }));
        info.location.sort_by(|a, b| a.path.cmp(&b.path));
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

fn entry() -> DescriptorProto {
    let field = |name: &str, number| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional as i32),
        r#type: Some(Type::Bytes as i32),
        ..FieldDescriptorProto::default()
    };
    DescriptorProto {
        name: Some(ENTRY.to_owned()),
        field: vec![field("key", 1), field("value", 2)],
        ..DescriptorProto::default()
    }
}
