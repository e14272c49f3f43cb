//! Numbers, byte strings and lists as the keeper's messages spell them: little endian, lengths before contents.

use crate::model::skew::{self, Skew};
use std::time::Duration;

/// The bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("read a message of the keeper's link")]
pub struct Malformed;

/// Appends to a body.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    fn put(&mut self, bytes: &[u8]) -> &mut Writer {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn u8(&mut self, n: u8) -> &mut Writer {
        self.put(&[n])
    }

    pub(super) fn u16(&mut self, n: u16) -> &mut Writer {
        self.put(&n.to_le_bytes())
    }

    pub(super) fn u32(&mut self, n: u32) -> &mut Writer {
        self.put(&n.to_le_bytes())
    }

    pub(super) fn i32(&mut self, n: i32) -> &mut Writer {
        self.put(&n.to_le_bytes())
    }

    pub(super) fn u64(&mut self, n: u64) -> &mut Writer {
        self.put(&n.to_le_bytes())
    }

    pub(super) fn span(&mut self, span: Duration) -> &mut Writer {
        self.u64(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn count(&mut self, n: usize) -> &mut Writer {
        self.u32(u32::try_from(n).unwrap_or(u32::MAX))
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Writer {
        self.count(bytes.len()).put(bytes)
    }

    /// What `write` appends, with its length before it.
    pub(super) fn part(&mut self, write: impl FnOnce(&mut Writer)) -> &mut Writer {
        let mut part = Writer::default();
        write(&mut part);
        if skew::skew() == Skew::Newer {
            part.put(b"later");
        }
        self.bytes(&part.0)
    }

    pub(super) fn list(&mut self, items: &[Vec<u8>]) -> &mut Writer {
        self.count(items.len());
        items.iter().fold(self, |to, item| to.bytes(item))
    }

    pub(super) fn pairs(&mut self, pairs: impl ExactSizeIterator<Item = (u32, u32)>) -> &mut Writer {
        self.count(pairs.len());
        pairs.fold(self, |to, (a, b)| to.u32(a).u32(b))
    }
}

/// Takes from the front of a body.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn span(&mut self) -> Result<Duration, Malformed> {
        self.u64().map(Duration::from_micros)
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, Malformed> {
        let len = usize::try_from(self.u32()?).map_err(|_big| Malformed)?;
        self.take(len).map(<[u8]>::to_vec)
    }

    /// A list whose items have at least `size` bytes: a count beyond what can follow is refused before it is
    /// believed.
    pub(super) fn many<T>(
        &mut self,
        size: usize,
        item: impl Fn(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = usize::try_from(self.u32()?).map_err(|_big| Malformed)?;
        if count > self.0.len() / size {
            return Err(Malformed);
        }
        (0..count).map(|_| item(self)).collect()
    }

    pub(super) fn pairs(&mut self) -> Result<Vec<(u32, u32)>, Malformed> {
        self.many(8, |from| Ok((from.u32()?, from.u32()?)))
    }
}
