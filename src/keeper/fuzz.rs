//! What any bytes may do to the keeper's protocol and to an image of it: nothing. Called by `tests/garbage.rs` and `tests/fuzz`.

use super::image::Image;
use super::message::{HEADER, Message, ToDaemon, ToKeeper};

/// Reads a message as either side would; what can be read says the same when written again.
pub fn message(bytes: &[u8]) {
    let Some((head, body)) = bytes.split_at_checked(HEADER) else { return };
    let Ok((mut message, _)) = Message::from_header(head) else { return };
    message.body = body.to_vec();
    if let Ok(Some(order)) = ToKeeper::decode(&message) {
        assert_eq!(ToKeeper::decode(&order.encode()).ok().flatten().as_ref(), Some(&order), "written again");
    }
    if let Ok(Some(news)) = ToDaemon::decode(&message) {
        assert_eq!(ToDaemon::decode(&news.encode()).ok().flatten().as_ref(), Some(&news), "written again");
    }
}

/// Reads an image as the next version of the keeper would.
pub fn image(bytes: &[u8]) {
    if let Ok(image) = Image::decode(bytes) {
        let again = image.encode();
        let read = Image::decode(&again).map(|image| image.encode());
        assert_eq!(read.ok().as_ref(), Some(&again), "written again");
    }
}
