//! One page of memory in a memfd: words that outlive the process that wrote them, as long as anybody holds
//! the descriptor. Not for more than one writer at a time.

use super::fault;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fstat, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// Bytes in a page file.
const SIZE: usize = 4096;
/// Words in a page.
pub const WORDS: usize = SIZE / size_of::<AtomicU64>();

/// A mapped page.
#[derive(Debug)]
pub struct Page {
    words: NonNull<[AtomicU64; WORDS]>,
}

// SAFETY: the mapping belongs to this value alone, and atomics may be used from any thread.
unsafe impl Send for Page {}

// SAFETY: what a shared reference gives is a slice of atomics.
unsafe impl Sync for Page {}

impl Page {
    /// A new memfd of one page of zeros, which cannot shrink or grow.
    pub fn create(name: &str) -> io::Result<OwnedFd> {
        fault::at("page.create")?;
        let fd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&fd, SIZE as u64)?;
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok(fd)
    }

    /// Maps a file made by [`Page::create`]. The descriptor is not needed afterwards.
    pub fn map(fd: impl AsFd) -> io::Result<Page> {
        fault::at("page.map")?;
        let size = u64::try_from(fstat(&fd)?.st_size).unwrap_or(0);
        if size < SIZE as u64 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the record page is too short"));
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
        let address = unsafe { mmap(std::ptr::null_mut(), SIZE, access, MapFlags::SHARED, fd, 0)? };
        let words = NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Page { words })
    }

    /// The words.
    pub fn words(&self) -> &[AtomicU64; WORDS] {
        // SAFETY: mapped in `map` with exactly this size, page-aligned, and not unmapped before `drop`; every
        // bit pattern is a valid word, and whoever else maps the page is bound to use atomics as well.
        unsafe { self.words.as_ref() }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made in `map`, and nothing borrows from it any more.
        if let Err(error) = unsafe { munmap(self.words.as_ptr().cast(), SIZE) } {
            tracing::warn!(%error, "failed to unmap a record page");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn words_are_seen_through_every_mapping_and_after_the_first_is_gone() {
        let fd = Page::create("test").unwrap();
        let first = Page::map(&fd).unwrap();
        first.words()[WORDS - 1].store(7, Relaxed);
        let second = Page::map(&fd).unwrap();
        drop(first);
        assert_eq!(second.words()[WORDS - 1].load(Relaxed), 7);
    }

    #[test]
    fn a_file_that_is_too_short_is_refused() {
        let fd = memfd_create("short", MemfdFlags::CLOEXEC).unwrap();
        assert!(Page::map(&fd).is_err());
    }
}
