//! Bytes of any size: small ones in memory, large ones in a temporary file without a name. Refuses to know what
//! they say.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is kept in memory; beyond it, everything moves to a file.
const ROOM: usize = 1 << 20;

/// Bytes that are written once and read at any place.
#[derive(Debug, Default)]
pub(crate) struct Blob {
    memory: Vec<u8>,
    file: Option<File>,
    length: u64,
}

impl Blob {
    /// How many bytes there are.
    pub(crate) fn len(&self) -> u64 {
        self.length
    }

    /// Adds bytes at the end.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            if self.memory.len() + bytes.len() <= ROOM {
                self.memory.extend_from_slice(bytes);
                self.length += count(bytes);
                return Ok(());
            }
            let file = nameless()?;
            file.write_all_at(&self.memory, 0)?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        if let Some(file) = &self.file {
            file.write_all_at(bytes, self.length)?;
            self.length += count(bytes);
        }
        Ok(())
    }

    /// Forgets what comes after a place.
    pub(crate) fn truncate(&mut self, length: u64) {
        self.length = self.length.min(length);
        if self.file.is_none() {
            self.memory.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        }
    }

    /// Reads bytes from a place into a buffer, as many as there are and it has room for; returns how many.
    pub(crate) fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX);
        let most = left.min(buffer.len());
        let room = buffer.get_mut(..most).unwrap_or_default();
        match &self.file {
            Some(file) => file.read_exact_at(room, at)?,
            None => {
                let start = usize::try_from(at).unwrap_or(usize::MAX);
                let bytes = self.memory.get(start..).and_then(|rest| rest.get(..most)).unwrap_or_default();
                room.copy_from_slice(bytes);
            }
        }
        Ok(most)
    }

    /// Fills a buffer with a range, which must be there.
    pub(crate) fn fill(&self, at: u64, length: u32, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        match self.read(at, buffer)? {
            read if read == buffer.len() => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// The length of a slice as it is counted here.
pub(crate) fn count(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// A file that is gone when it is closed.
fn nameless() -> io::Result<File> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("chavion-emulator-{}-{number}", std::process::id()));
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Walks over the lines of a blob with little memory: a window at a time.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    blob: &'a Blob,
    window: Vec<u8>,
    /// Where in the window the next line starts, and how much of the window is filled.
    next: usize,
    filled: usize,
    /// Where in the blob the window starts.
    start: u64,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(blob: &'a Blob) -> Self {
        Self { blob, window: vec![0; 256 * 1024], next: 0, filled: 0, start: 0 }
    }

    /// The next line without its end, and where it starts; `None` after the last.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        let mut seen = 0;
        loop {
            let rest = self.window.get(self.next..self.filled).unwrap_or_default();
            let found = rest.iter().skip(seen).position(|byte| *byte == b'\n').map(|at| at + seen);
            let whole = self.start + count(self.window.get(..self.filled).unwrap_or_default()) >= self.blob.len();
            if found.is_none() && !whole {
                seen = rest.len();
                self.more()?;
                continue;
            }
            let (from, length) = (self.next, found.unwrap_or(rest.len()));
            if found.is_none() && length == 0 {
                return Ok(None);
            }
            self.next = (from + length + 1).min(self.filled);
            let at = self.start + u64::try_from(from).unwrap_or(u64::MAX);
            let line = self.window.get(from..from + length).unwrap_or_default();
            return Ok(Some((at, line.strip_suffix(b"\r").unwrap_or(line))));
        }
    }

    /// Moves the begun line to the front of the window and reads on; a line longer than the window makes it larger.
    fn more(&mut self) -> io::Result<()> {
        self.window.copy_within(self.next..self.filled, 0);
        self.start += u64::try_from(self.next).unwrap_or(u64::MAX);
        self.filled -= self.next;
        self.next = 0;
        if self.filled == self.window.len() {
            self.window.resize(self.filled * 2, 0);
        }
        let at = self.start + u64::try_from(self.filled).unwrap_or(u64::MAX);
        let room = self.window.get_mut(self.filled..).unwrap_or_default();
        self.filled += self.blob.read(at, room)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_small_and_large() {
        for line in ["겨울 예약\n".repeat(3), "겨울 예약을 늘릴 방법\n".repeat(100_000)] {
            let mut blob = Blob::default();
            for chunk in line.as_bytes().chunks(9_999) {
                blob.push(chunk).unwrap();
            }
            assert_eq!(blob.len(), count(line.as_bytes()));
            let mut lines = Lines::new(&blob);
            let mut total = 0;
            let first = line.lines().next().unwrap();
            while let Some((at, found)) = lines.next().unwrap() {
                assert_eq!(std::str::from_utf8(found).unwrap(), first);
                assert_eq!(at, total * (count(first.as_bytes()) + 1));
                total += 1;
            }
            assert_eq!(usize::try_from(total).unwrap(), line.lines().count());
        }
    }

    #[test]
    fn a_long_line_a_last_line_without_end_and_a_shorter_blob() {
        let long = "가".repeat(400_000);
        let mut blob = Blob::default();
        blob.push(format!("a\r\n\n{long}\nend").as_bytes()).unwrap();
        let mut lines = Lines::new(&blob);
        let mut seen = Vec::new();
        while let Some((_, line)) = lines.next().unwrap() {
            seen.push(String::from_utf8(line.to_vec()).unwrap());
        }
        assert_eq!(seen, ["a", "", &long, "end"]);
        blob.truncate(2);
        blob.push(b"b").unwrap();
        let mut all = Vec::new();
        blob.fill(0, 3, &mut all).unwrap();
        assert_eq!(all, b"a\rb");
        assert!(blob.fill(1, 3, &mut all).is_err());
    }
}
