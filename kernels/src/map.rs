//! Memory for tables: files as slices, where they are larger than memory, and
//! large pages, where they are not.
//!
//! The operating system reads a page of a mapped file when it is touched and
//! drops it when it needs the memory. Rust's slices must not change under
//! their readers, and a file that shrinks under a map kills the process that
//! touches the lost pages. A safe map therefore needs a file that nobody else
//! can write to, and there is one kind of it: [`Scratch`], a file without a
//! name.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;

/// This many zeros, in large pages where the system has them: a page is a fault
/// when it is first touched, and a table has many.
///
/// # Panics
/// Where the system refuses so much.
pub fn zeros_in_large_pages<T: bytemuck::Zeroable>(n: usize) -> Vec<T> {
    // Fresh memory of the system is zeros, and is not touched yet.
    let values = bytemuck::try_zeroed_vec(n);
    let values = values.unwrap_or_else(|()| panic!("there is no memory for {n} values"));
    advise_large_pages(values.as_ptr_range());
    values
}

pub(crate) fn advise_large_pages<T>(values: std::ops::Range<*const T>) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4096;
        // Below some large pages there is little to win, and up to a page to lose.
        const WORTH: usize = 1 << 20;
        let (start, end) = (values.start as usize, values.end as usize);
        let (start, end) = (start.next_multiple_of(PAGE), end / PAGE * PAGE);
        if end.saturating_sub(start) >= WORTH {
            // SAFETY: the pages from `start` to `end` lie within an allocation
            // of the caller's. The advice changes no byte of them, and where
            // the system cannot follow it, nothing happens.
            unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = values;
}

/// A temporary file without a name, which only this value can write to. The
/// system takes it back when it is dropped, however the process ends.
#[derive(Debug)]
pub struct Scratch {
    file: File,
}

impl Scratch {
    /// Makes an empty one in this folder.
    ///
    /// # Errors
    /// Where the folder cannot be written to.
    pub fn new(folder: &Path) -> io::Result<Scratch> {
        Ok(Scratch { file: tempfile::tempfile_in(folder)? })
    }

    /// Writes at an offset. What lies between the end and the offset reads as
    /// zeros, and takes no room where the file system knows sparse files.
    ///
    /// # Errors
    /// Where the disk is full or fails.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        #[cfg(unix)]
        {
            std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, offset)
        }
        #[cfg(windows)]
        {
            let mut done = 0;
            while done < bytes.len() {
                let at = offset + done as u64;
                done += std::os::windows::fs::FileExt::seek_write(&self.file, &bytes[done..], at)?;
            }
            Ok(())
        }
        #[cfg(not(any(unix, windows)))]
        {
            let _ = (bytes, offset);
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    /// Ends the writing and maps parts of the file, each of which is empty or
    /// lies within what has been written.
    ///
    /// # Errors
    /// Where the system refuses, or a part lies behind the end of the file.
    pub fn map(self, parts: &[Range<u64>]) -> io::Result<Vec<Map>> {
        let length = self.file.metadata()?.len();
        let map = |part: &Range<u64>| {
            if part.is_empty() {
                return Ok(Map(None));
            }
            if part.end > length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let bytes = usize::try_from(part.end - part.start)
                .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
            let mut options = memmap2::MmapOptions::new();
            options.offset(part.start).len(bytes);
            // SAFETY: the part is not empty and lies within the file, as
            // checked above. The
            // file has no name, so that nobody else can open it, and its one
            // handle is `self.file`, which was never handed out and is
            // dropped here: from now on nothing can write to it or cut it.
            // (A debugger, or root by way of /proc, can; they can change any
            // memory of the process as well.)
            unsafe { options.map(&self.file) }.map(|map| Map(Some(map)))
        };
        parts.iter().map(map).collect()
    }
}

/// A part of a [`Scratch`] file as bytes that do not change.
#[derive(Debug)]
pub struct Map(Option<memmap2::Mmap>);

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_mapped() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(folder.path()).unwrap();
        scratch.write_all_at(b"hello", 3).unwrap();
        scratch.write_all_at(b"far", 100_000).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it has no name");
        let maps = scratch.map(&[0..5, 5..8, 100_000..100_003, 1 << 40..1 << 40]).unwrap();
        assert_eq!(&*maps[0], b"\0\0\0he");
        assert_eq!(&*maps[1], b"llo");
        assert_eq!(&*maps[2], b"far");
        assert!(maps[3].is_empty());
    }

    #[test]
    fn zeros_are_there() {
        for n in [0, 1, 1_000_000] {
            assert_eq!(zeros_in_large_pages::<u32>(n), vec![0; n]);
        }
    }

    #[test]
    fn a_part_behind_the_end_is_an_error() {
        let scratch = Scratch::new(&std::env::temp_dir()).unwrap();
        scratch.write_all_at(b"abc", 0).unwrap();
        let error = scratch.map(&[0..3, 2..4]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        assert!(Scratch::new(Path::new("no/such/folder")).is_err());
    }
}
