//! Frames: cutting a byte stream into messages and back. Sans I/O: bytes in, frames out.

use super::push::{LogBatch, LogHeader};
use crate::model::skew::{self, Skew};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// No frame is larger; a peer that announces more is cut off. 16 MiB holds `jlist` of 1,000 workers.
pub const MAX_FRAME: usize = 16 << 20;
const KIND_JSON: u8 = 0;
const KIND_LOG: u8 = 1;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A JSON message.
    Json(Bytes),
    /// Log lines.
    Log(LogBatch),
}

/// Why bytes are no frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than the limit, or empty.
    #[error("pass a frame of {0} bytes on: it is empty or too long")]
    Length(usize),
    /// A log batch whose header does not fit in it.
    #[error("read a log batch: its header is cut")]
    BadBatch,
    /// Not the JSON that was expected.
    #[error("understand a message")]
    Json(#[from] serde_json::Error),
}

impl Frame {
    /// A JSON frame, ready to be written.
    pub fn json(message: &impl Serialize) -> Result<Bytes, FrameError> {
        let mut out = BytesMut::with_capacity(256);
        out.put_u32(0);
        out.put_u8(KIND_JSON);
        let mut writer = out.writer();
        skew::to_writer(&mut writer, message)?;
        finish(writer.into_inner()).map(with_news)
    }

    /// A log frame, ready to be written.
    pub fn log(header: &LogHeader, bytes: &[u8]) -> Result<Bytes, FrameError> {
        let head = Frame::log_head(header, bytes.len())?;
        Ok([&head[..], bytes].concat().into())
    }

    /// The part of a log frame that comes before its `length` bytes of lines, which need not be copied for it.
    pub fn log_head(header: &LogHeader, length: usize) -> Result<Bytes, FrameError> {
        let header = skew::to_vec(header)?;
        let body = 5 + header.len() + length;
        if body > MAX_FRAME {
            return Err(FrameError::Length(body));
        }
        let mut out = BytesMut::with_capacity(9 + header.len());
        out.put_u32(u32::try_from(body).unwrap_or(u32::MAX));
        out.put_u8(KIND_LOG);
        out.put_u32(u32::try_from(header.len()).unwrap_or(u32::MAX));
        out.extend_from_slice(&header);
        Ok(out.freeze())
    }

    /// Reads a JSON frame's message.
    pub fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, FrameError> {
        Ok(serde_json::from_slice(json)?)
    }
}

fn finish(mut out: BytesMut) -> Result<Bytes, FrameError> {
    let length = out.len() - 4;
    if length > MAX_FRAME {
        return Err(FrameError::Length(length));
    }
    let prefix = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    out[..4].copy_from_slice(&prefix);
    Ok(out.freeze())
}

/// A later version says more: a frame and a message that nobody knows go around each.
fn with_news(frame: Bytes) -> Bytes {
    if skew::skew() != Skew::Newer {
        return frame;
    }
    let message = br#"{"kind":"news_of_a_later_version","phase":3}"#;
    let length = u32::try_from(message.len() + 1).unwrap_or(0).to_be_bytes();
    [&[0, 0, 0, 3, 99, 1, 2][..], &frame, &length, &[KIND_JSON], message].concat().into()
}

/// Collects bytes and yields frames.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    limit: usize,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::with_limit(MAX_FRAME)
    }
}

/// Room is made for so much at a time, not for what a peer announces.
const STEP: usize = 64 << 10;

impl Decoder {
    /// Takes no frame that is longer.
    pub fn with_limit(limit: usize) -> Decoder {
        Decoder { buffer: BytesMut::new(), limit }
    }

    /// Where to read into: append received bytes here.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    #[expect(clippy::should_implement_trait, reason = "an iterator cannot fail and go on later")]
    /// The next whole frame; `None`: more bytes are needed. Frames of unknown kinds are skipped.
    pub fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            let Some(prefix) = self.buffer.first_chunk::<4>() else { return Ok(None) };
            let length = u32::from_be_bytes(*prefix) as usize;
            if length == 0 || length > self.limit {
                return Err(FrameError::Length(length));
            }
            if self.buffer.len() < 4 + length {
                self.buffer.reserve((4 + length - self.buffer.len()).min(STEP));
                return Ok(None);
            }
            self.buffer.advance(4);
            let mut body = self.buffer.split_to(length).freeze();
            match body.get_u8() {
                KIND_JSON => return Ok(Some(Frame::Json(body))),
                KIND_LOG => return Ok(Some(Frame::Log(batch(body)?))),
                _later_version => {}
            }
        }
    }
}

fn batch(mut body: Bytes) -> Result<LogBatch, FrameError> {
    if body.len() < 4 {
        return Err(FrameError::BadBatch);
    }
    let length = body.get_u32() as usize;
    if length > body.len() {
        return Err(FrameError::BadBatch);
    }
    let header: LogHeader = Frame::parse(&body.split_to(length))?;
    Ok(LogBatch { header, bytes: body })
}

#[cfg(test)]
mod tests {
    use super::super::push::StreamKind;
    use super::*;
    use proptest::prelude::*;

    fn header() -> LogHeader {
        LogHeader {
            id: 7,
            worker: Some(crate::model::WorkerId(3)),
            name: "web".into(),
            stream: StreamKind::Out,
            instance: None,
            pid: None,
            at_ms: Some(1),
            history: false,
            path: None,
            spot: None,
            at_spot: None,
        }
    }

    proptest! {
        #[test]
        fn frames_survive_any_cut(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 1usize..40) {
            let mut wire = Frame::json(&"hello").unwrap().to_vec();
            wire.extend_from_slice(&[0, 0, 0, 3, 99, 1, 2]);
            wire.extend_from_slice(&Frame::log(&header(), &bytes).unwrap());
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for part in wire.chunks(cut) {
                decoder.buffer().extend_from_slice(part);
                while let Some(frame) = decoder.next().unwrap() {
                    seen.push(frame);
                }
            }
            prop_assert_eq!(seen, vec![
                Frame::Json(Bytes::from_static(b"\"hello\"")),
                Frame::Log(LogBatch { header: header(), bytes: bytes.into() }),
            ]);
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut decoder = Decoder::default();
            decoder.buffer().extend_from_slice(&bytes);
            while let Ok(Some(_)) = decoder.next() {}
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_an_error_before_it_is_read() {
        let mut decoder = Decoder::default();
        decoder.buffer().extend_from_slice(&u32::MAX.to_be_bytes());
        assert!(matches!(decoder.next(), Err(FrameError::Length(_))));
    }
}
