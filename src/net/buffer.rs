//! Bytes that wait.

/// Bytes that wait: replies that the kernel does not take yet, or a message that has not
/// arrived completely.
///
/// An empty buffer is one null pointer. Its memory is freed with the last byte, so an idle
/// connection holds none.
#[derive(Debug, Default)]
pub struct Buffer(Option<Box<Bytes>>);

#[derive(Debug)]
struct Bytes {
    bytes: Vec<u8>,
    /// Where the bytes that still wait begin.
    start: usize,
}

impl Buffer {
    /// The bytes that wait, oldest first.
    pub fn as_slice(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |held| &held.bytes[held.start..])
    }

    /// Returns whether no byte waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Adds bytes at the end.
    pub fn append(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            _ if bytes.is_empty() => {}
            Some(held) => held.bytes.extend_from_slice(bytes),
            None => self.0 = Some(Box::new(Bytes { bytes: bytes.to_vec(), start: 0 })),
        }
    }

    /// Removes the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        if let Some(held) = &mut self.0 {
            held.start += count;
            if held.start >= held.bytes.len() {
                self.0 = None;
            } else if held.start >= held.bytes.len() - held.start {
                held.compact();
            }
        }
    }

    /// Removes all bytes.
    pub fn clear(&mut self) {
        self.0 = None;
    }
}

impl Bytes {
    /// Frees the memory of what was consumed. That is at least as long as the rest, so a
    /// byte is moved once on average, however small the steps are.
    fn compact(&mut self) {
        self.bytes.drain(..self.start);
        self.bytes.shrink_to_fit();
        self.start = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order_and_the_memory_is_freed_with_the_last() {
        let mut buffer = Buffer::default();
        let mut expected = Vec::new();
        for round in 0..100u8 {
            buffer.append(&[round; 7]);
            expected.extend([round; 7]);
            buffer.consume(3);
            expected.drain(..3);
            assert_eq!(buffer.as_slice(), expected);
        }
        buffer.consume(buffer.len());
        assert!(buffer.is_empty() && buffer.0.is_none());
    }

    #[test]
    fn consumed_bytes_do_not_pile_up() {
        let mut buffer = Buffer::default();
        buffer.append(&[1; 64]);
        for _ in 0..10_000 {
            buffer.append(&[2; 64]);
            buffer.consume(64);
        }
        let held = buffer.0.expect("64 bytes are left");
        assert!(held.bytes.capacity() <= 512, "{}", held.bytes.capacity());
    }

    #[test]
    fn a_small_rest_does_not_keep_the_memory_of_many_bytes() {
        let mut buffer = Buffer::default();
        buffer.append(&[1; 65536]);
        for left in [40_000, 20_000, 300, 7] {
            buffer.consume(buffer.len() - left);
            let held = buffer.0.as_ref().expect("some are left");
            assert!(held.bytes.capacity() <= 2 * left, "{} for {left}", held.bytes.capacity());
        }
    }
}
