//! The codec against a naive one: every short stream in every split, long ones at random.

use std::collections::BTreeSet;

use crate::reference_codec::{self, Decoded};
use proptest::prelude::*;
use reactor_server::Framing;
use reactor_server::parts::{Buffer, Codec, TooLong};

/// Decodes the pieces one after the other, as a connection does.
fn decode(codec: &Codec, pieces: &[&[u8]]) -> Decoded {
    let (mut held, mut decoded) = (Buffer::default(), Decoded::default());
    for piece in pieces {
        let mut searched = held.len();
        held.append(piece);
        while !decoded.refused {
            match codec.decode(held.as_slice(), searched) {
                Ok(None) => break,
                Err(TooLong) => decoded.refused = true,
                Ok(Some(frame)) => {
                    decoded.messages.push(frame.body.to_vec());
                    let length = frame.length;
                    held.consume(length);
                }
            }
            searched = 0;
        }
    }
    Decoded { rest: held.as_slice().to_vec(), ..decoded }
}

/// All streams of up to `most` of these words.
fn streams(words: &[&[u8]], most: usize) -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::from([Vec::new()]);
    for _ in 0..most {
        let longer = |stream: &Vec<u8>| words.iter().map(|word| [stream, *word].concat()).collect();
        let longer: Vec<Vec<u8>> = all.iter().flat_map::<Vec<_>, _>(longer).collect();
        all.extend(longer);
    }
    all
}

/// The stream in pieces: each bit of `cuts` is one between two of its bytes.
fn cut(stream: &[u8], cuts: usize) -> Vec<&[u8]> {
    let is_cut = |&at: &usize| at > 0 && cuts >> (at - 1) & 1 == 1;
    let starts: Vec<usize> = (0..stream.len()).filter(|at| *at == 0 || is_cut(at)).collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    starts.iter().zip(ends).map(|(&start, end)| &stream[start..end]).collect()
}

/// Decodes every stream in every split, and returns how many there were.
fn explore(framing: Framing, max: usize, words: &[&[u8]], most: usize) -> usize {
    let codec = Codec::new(framing.clone(), max);
    let mut count = 0;
    for stream in streams(words, most) {
        let expected = reference_codec::decode(&framing, max, &stream);
        for cuts in 0..1 << stream.len().saturating_sub(1) {
            let pieces = cut(&stream, cuts);
            let decoded = decode(&codec, &pieces);
            assert_eq!(decoded, expected, "{framing:?}, at most {max}: {pieces:?}");
            count += 1;
        }
    }
    println!("{count} pairs of a stream and a split: {framing:?}, at most {max}");
    count
}

fn delimited(delimiter: &[u8]) -> Framing {
    Framing::Delimited(delimiter.to_vec())
}

#[test]
fn fixed_sizes_are_found_in_every_split() {
    let explore = |size| explore(Framing::Fixed(size), 0, &[b"\0", b"x"], 7);
    assert!((1..=3).map(explore).sum::<usize>() > 30_000);
}

#[test]
fn lengths_are_found_in_every_split() {
    // Lengths of 0, 1, the most, one more and far more, with bytes behind them or not.
    let words: [&[u8]; 6] = [&[0; 4], &[1, 0, 0, 0], &[2, 0, 0, 0], &[3, 0, 0, 0], &[255; 4], b"x"];
    assert!(explore(Framing::Len32, 2, &words, 3) > 200_000);
    assert!(explore(Framing::Len32, 1, &[b"\0", b"\x01"], 9) > 100_000);
}

#[test]
fn lines_are_found_in_every_split() {
    assert!(explore(Framing::line(), 2, &[b"\n", b"\r", b"\0", b"x"], 6) > 100_000);
}

#[test]
fn delimiters_of_several_bytes_are_found_in_every_split() {
    assert!(explore(delimited(b"\r\n"), 2, &[b"\r", b"\n", b"\0"], 7) > 100_000);
}

#[test]
fn delimiters_that_overlap_themselves_are_found_in_every_split() {
    assert!(explore(delimited(b"aab"), 2, &[b"a", b"b"], 9) > 100_000);
    assert!(explore(delimited(b"aba"), 3, &[b"a", b"b"], 8) > 40_000);
    assert!(explore(delimited(b"\r\n\r\n"), 3, &[b"\r", b"\n", b"\0"], 7) > 100_000);
    assert!(explore(delimited(b"\r\n\r\n"), 3, &[b"\r\n", b"\r", b"x"], 5) > 10_000);
}

#[test]
fn raw_messages_are_the_pieces_of_every_split() {
    let codec = Codec::new(Framing::Raw, 0);
    for stream in streams(&[b"\0", b"x"], 7) {
        for cuts in 0..1 << stream.len().saturating_sub(1) {
            let pieces = cut(&stream, cuts);
            let decoded = decode(&codec, &pieces);
            assert_eq!(decoded, Decoded { messages: to_vecs(&pieces), ..Decoded::default() });
        }
    }
}

fn to_vecs(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    pieces.iter().map(|piece| piece.to_vec()).collect()
}

#[test]
fn hostile_lengths_are_refused_with_their_fourth_byte() {
    for max in [0, 1, 1000, 1 << 20, i32::MAX as u32, u32::MAX - 1, u32::MAX] {
        let codec = Codec::new(Framing::Len32, max as usize);
        let near = [0, 1, max, max.saturating_add(1), i32::MAX as u32, 1 << 31];
        for length in near.into_iter().chain(u32::MAX - 4..=u32::MAX) {
            let prefix = length.to_le_bytes();
            (0..4).for_each(|count| assert_eq!(codec.decode(&prefix[..count], 0), Ok(None)));
            match codec.decode(&prefix, 3) {
                Err(TooLong) => assert!(length > max, "{length} of {max}"),
                Ok(None) => assert!((1..=max).contains(&length), "{length} of {max}"),
                Ok(Some(frame)) => assert_eq!((length, frame.body, frame.length), (0, &[][..], 4)),
            }
        }
    }
}

#[test]
fn all_256_byte_values_pass() {
    for framing in [Framing::Fixed(2), Framing::Len32, Framing::line(), delimited(b"\r\n\r\n")] {
        let is_end = |byte: u8| framing == Framing::line() && byte == b'\n';
        let messages: Vec<_> =
            (0..=255).filter(|&byte| !is_end(byte)).map(|byte| vec![byte; 2]).collect();
        let codec = Codec::new(framing.clone(), 2);
        let mut stream = Vec::new();
        messages.iter().for_each(|message| codec.encode(&[message], &mut stream));
        for size in 1..9 {
            let pieces: Vec<_> = stream.chunks(size).collect();
            assert_eq!(decode(&codec, &pieces).messages, messages, "{framing:?}");
        }
    }
}

/// The longest message of the long streams.
const MAX: usize = 2000;

fn framing() -> impl Strategy<Value = Framing> {
    let delimiters = [&b"\n"[..], b"\r\n\r\n", b"aab"].map(delimited);
    let fixed = (1..MAX).prop_map(Framing::Fixed);
    prop_oneof![fixed, Just(Framing::Len32), prop::sample::select(delimiters.to_vec())]
}

/// A part of a long stream: mostly a message, now and then noise or the front of a delimiter.
fn part(framing: Framing) -> impl Strategy<Value = Vec<u8>> {
    let noise = |most| prop::collection::vec(any::<u8>(), 0..most);
    let fronts = [&b"\r\n\r"[..], b"aa", b"\r", b"\0\0"].map(<[u8]>::to_vec).to_vec();
    let message = noise(MAX).prop_map(move |body| {
        let mut part = Vec::new();
        Codec::new(framing.clone(), MAX).encode(&[&body], &mut part);
        part
    });
    prop_oneof![60 => message, 6 => prop::sample::select(fronts), 1 => noise(2 * MAX)]
}

fn stream() -> impl Strategy<Value = (Framing, Vec<u8>)> {
    framing().prop_flat_map(|framing| {
        let parts = prop::collection::vec(part(framing.clone()), 0..100);
        (Just(framing), parts.prop_map(|parts| parts.concat()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn long_streams_decode_the_same_in_random_pieces(
        (framing, stream) in stream(),
        sizes in prop::collection::vec(prop_oneof![1..9usize, 1..5000usize], 1..20),
    ) {
        let (mut pieces, mut rest) = (Vec::new(), &stream[..stream.len().min(100_000)]);
        let expected = reference_codec::decode(&framing, MAX, rest);
        for &size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at(size.min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        prop_assert_eq!(decode(&Codec::new(framing, MAX), &pieces), expected);
    }
}
