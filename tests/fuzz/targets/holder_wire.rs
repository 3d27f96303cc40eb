//! Whatever bytes come over a holder's socket, in whatever pieces: they are frames or they are refused, and nothing is kept beyond a frame.
#![no_main]

use ao_local::runtimes::holder::wire::{Decoder, Frame};
use libfuzzer_sys::fuzz_target;

/// Small, so that frames beyond it are met.
const LIMIT: usize = 4 * 1024;

fn frames(bytes: &[u8], piece: usize) -> (Vec<Frame>, bool) {
    let mut decoder = Decoder::new(LIMIT);
    let mut all = Vec::new();
    for part in bytes.chunks(piece) {
        decoder.push(part);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => all.push(frame),
                Ok(None) => break,
                Err(_) => return (all, true),
            }
        }
    }
    (all, false)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let whole = frames(bytes, bytes.len().max(1));
    let pieces = frames(bytes, usize::from(*first) % 61 + 1);
    assert_eq!(whole, pieces, "the pieces make a difference");
    for frame in whole.0 {
        let written = frame.encode();
        let mut decoder = Decoder::new(16 * LIMIT);
        decoder.push(&written);
        assert_eq!(decoder.next_frame().expect("what we write is read"), Some(frame));
    }
});
