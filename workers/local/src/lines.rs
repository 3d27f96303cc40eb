//! Whole lines of a file that others append to.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use camino::Utf8Path;

/// Whole lines.
pub(crate) struct Lines {
    /// In order, without their ends; empty ones are left out.
    pub(crate) lines: Vec<Vec<u8>>,
    /// Where the next ones begin.
    pub(crate) next: u64,
}

/// Whole lines from `offset` on, of about `piece` bytes, or one longer line. One longer than `longest` is none of those that are
/// looked for and is passed over; a last one that is not whole yet is left for the next time. `None`: there is no file.
pub(crate) fn read(file: &Utf8Path, offset: u64, piece: u64, longest: u64) -> io::Result<Option<Lines>> {
    let mut file = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut most = piece;
    loop {
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        (&mut file).take(most).read_to_end(&mut bytes)?;
        if let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
            let lines = bytes[..end].split(|byte| *byte == b'\n');
            let lines = lines
                .filter(|line| !line.is_empty())
                .map(<[u8]>::to_vec)
                .collect();
            let next = offset + end as u64 + 1;
            return Ok(Some(Lines { lines, next }));
        }
        let is_cut = bytes.len() as u64 == most;
        if !is_cut || most >= longest {
            let next = offset + if is_cut { most } else { 0 };
            let lines = Vec::new();
            return Ok(Some(Lines { lines, next }));
        }
        most = (most * 4).min(longest);
    }
}
