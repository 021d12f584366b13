//! Messages come out of the pieces they arrive in as they went into the rope, and what is large
//! is not copied on the way.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use snakepit_protocol::Entry;
use snakepit_protocol::pb::StreamResponse;
use snakepit_protocol::value::{Given, Writer};
use snakepit_protocol::wire::{Arrivals, Malformed, Rope};

const LIMIT: usize = 64 * 1024 * 1024;

fn chunk(values: &[Bytes]) -> StreamResponse {
    let entries = values.iter().enumerate();
    let chunk =
        entries.map(|(index, value)| Entry::new(index.to_string(), value.clone())).collect();
    StreamResponse { chunk, ..StreamResponse::default() }
}

fn framed(messages: &[StreamResponse]) -> Rope {
    let mut rope = Rope::new();
    for message in messages {
        assert!(rope.frame(message));
    }
    rope
}

fn whole(mut rope: Rope) -> Bytes {
    std::iter::from_fn(|| rope.pop(usize::MAX)).flatten().collect()
}

fn read(arrivals: &mut Arrivals) -> Vec<StreamResponse> {
    std::iter::from_fn(|| arrivals.next(LIMIT).unwrap()).collect()
}

fn bytes() -> impl Strategy<Value = Bytes> {
    let sizes =
        prop_oneof![8 => 0..100_usize, 1 => 16_000..17_000_usize, 1 => 1_000_000..3_000_000_usize];
    (sizes, any::<u8>()).prop_map(|(size, byte)| Bytes::from(vec![byte; size]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_survive_however_they_are_cut(
        messages in prop::collection::vec(prop::collection::vec(bytes(), 0..4), 1..6),
        cuts in prop::collection::vec(1..300_000_usize, 1..8),
    ) {
        let messages: Vec<_> = messages.iter().map(|values| chunk(values)).collect();
        let mut rope = framed(&messages);
        let (mut arrivals, mut received, mut turn) = (Arrivals::new(), Vec::new(), 0);
        while let Some(piece) = rope.pop(cuts[turn % cuts.len()]) {
            arrivals.push(piece);
            received.extend(read(&mut arrivals));
            turn += 1;
        }
        prop_assert!(rope.is_empty() && arrivals.is_empty());
        prop_assert_eq!(received, messages);
    }

    #[test]
    fn a_rope_is_what_prost_writes(values in prop::collection::vec(bytes(), 0..4)) {
        let message = chunk(&values);
        let rope = framed(std::slice::from_ref(&message));
        let length = rope.len();
        let whole = whole(rope);
        prop_assert_eq!(length, whole.len());
        prop_assert_eq!(whole[0], 0);
        prop_assert_eq!(whole[1..5].to_vec(), u32::to_be_bytes(message.encoded_len() as u32));
        prop_assert_eq!(StreamResponse::decode(&whole[5..]).unwrap(), message);
    }

    #[test]
    fn an_entry_in_pieces_is_the_same_on_the_wire(sizes in prop::collection::vec(0..40_000_usize, 0..5)) {
        let parts: Vec<_> = sizes.iter().map(|size| Bytes::from(vec![7; *size])).collect();
        let (mut given, mut copied) = (Writer::new(), Writer::new());
        given.array(parts.len());
        copied.array(parts.len());
        for part in &parts {
            given.binary_given(Given::new(part, &|| part.clone()));
            copied.binary(part);
        }
        prop_assert_eq!(given.len(), copied.len());
        let in_pieces = given.take_entry(Bytes::from_static(b"key"));
        let in_one = Entry::new("key", copied.take());
        prop_assert_eq!(in_pieces.size(), in_one.size());
        prop_assert_eq!(in_pieces.encoded_len(), in_one.encoded_len());
        prop_assert_eq!(in_pieces.encode_to_vec(), in_one.encode_to_vec());
        prop_assert!(given.is_empty());
    }
}

#[test]
fn a_large_value_is_copied_neither_out_nor_in() {
    let large = Bytes::from(vec![1; 100_000]);
    let mut rope = framed(&[chunk(&[Bytes::from_static(b"small"), large.clone()])]);
    let mut arrivals = Arrivals::new();
    while let Some(piece) = rope.pop(usize::MAX) {
        arrivals.push(piece);
    }
    let received = read(&mut arrivals);
    assert_eq!(received[0].chunk[1].value.as_ptr(), large.as_ptr());
}

#[test]
fn a_given_part_is_kept_from_sixteen_kilobytes_on() {
    let mut writer = Writer::new();
    for (size, kept) in [(16 * 1024 - 1, false), (16 * 1024, true)] {
        let part = Bytes::from(vec![1; size]);
        writer.string_given(Given::new(&part, &|| part.clone()));
        let entry = writer.take_entry(Bytes::new());
        assert_eq!(entry.rest.first().map(|piece| piece.as_ptr()) == Some(part.as_ptr()), kept);
    }
}

#[test]
fn a_message_that_arrives_byte_by_byte_is_read() {
    let message = chunk(&[Bytes::from_static(b"value")]);
    let whole = whole(framed(std::slice::from_ref(&message)));
    let mut arrivals = Arrivals::new();
    for (index, byte) in whole.iter().enumerate() {
        assert_eq!(arrivals.is_empty(), index == 0);
        assert!(read(&mut arrivals).is_empty());
        arrivals.push(Bytes::copy_from_slice(&[*byte]));
    }
    assert_eq!(read(&mut arrivals), [message]);
}

#[test]
fn a_message_above_the_limit_is_refused_by_its_head_alone() {
    let mut arrivals = Arrivals::new();
    arrivals.push(Bytes::from_static(&[0, 0, 0, 1, 0]));
    assert_eq!(
        arrivals.next::<StreamResponse>(255),
        Err(Malformed::TooLong { length: 256, limit: 255 })
    );
}

#[test]
fn what_is_no_message_is_refused() {
    for (data, compressed) in [(vec![1, 0, 0, 0, 1, 8], true), (vec![0, 0, 0, 0, 1, 8], false)] {
        let mut arrivals = Arrivals::new();
        arrivals.push(Bytes::from(data));
        let refused = arrivals.next::<StreamResponse>(LIMIT).unwrap_err();
        assert_eq!(refused == Malformed::Compressed, compressed);
    }
}
