//! The cells of a column: in memory, or in a file that is mapped.

use bytemuck::Pod;
use mlpc_kernels::map::{Map, Scratch};
use mlpc_kernels::rooms::{Room, Rooms, Unwritten};
use rayon::prelude::*;
use std::fmt;
use std::io;
use std::ops::{Deref, Range};
use std::path::PathBuf;
use std::sync::Arc;

/// A sequence of numbers that does not change. It reads as a slice; where the
/// numbers live (in memory, or in a mapped file for a table larger than
/// memory) does not show. A clone shares them.
#[derive(Clone)]
pub struct Buffer<T>(Arc<Place<T>>);

enum Place<T> {
    Memory(Vec<T>),
    /// A room in memory that several buffers share.
    Room(Arc<Rooms<T>>, usize),
    Mapped(Map),
}

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<T> From<Vec<T>> for Buffer<T> {
    fn from(cells: Vec<T>) -> Self {
        Buffer(Arc::new(Place::Memory(cells)))
    }
}

impl<T: Pod> Deref for Buffer<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &*self.0 {
            Place::Memory(cells) => cells,
            Place::Room(rooms, room) => rooms.filled(*room),
            // Parts of a file start at multiples of a page.
            Place::Mapped(map) => bytemuck::cast_slice(map),
        }
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Pod + PartialEq> PartialEq for Buffer<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Pod + PartialEq, const N: usize> PartialEq<[T; N]> for Buffer<T> {
    fn eq(&self, other: &[T; N]) -> bool {
        **self == *other
    }
}

impl<T: Pod + PartialEq> PartialEq<Vec<T>> for Buffer<T> {
    fn eq(&self, other: &Vec<T>) -> bool {
        **self == **other
    }
}

impl<T: Pod + PartialEq> PartialEq<Buffer<T>> for Vec<T> {
    fn eq(&self, other: &Buffer<T>) -> bool {
        **self == **other
    }
}

impl<T: Pod + Eq> Eq for Buffer<T> {}

/// Where the cells of a table go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Storage {
    /// Memory.
    #[default]
    Memory,
    /// Files without a name in this folder, mapped: the memory of the process
    /// stays small, whatever the size of the table.
    Folder(PathBuf),
}

impl Storage {
    /// Buffers of at most `longest` cells each, to be filled.
    ///
    /// # Errors
    /// Where the folder cannot be written to.
    pub(crate) fn sinks<T: Pod>(&self, sinks: usize, longest: u64) -> io::Result<Sinks<T>> {
        let bytes = longest.saturating_mul(size_of::<T>() as u64);
        let stride = bytes.next_multiple_of(PAGE);
        let scratch = match self {
            Storage::Memory => None,
            Storage::Folder(folder) => Some(Scratch::new(folder)?),
        };
        let collected = (COLLECTED.1 / sinks.max(1)).clamp(PAGE_OF_MEMORY, COLLECTED.0);
        let new = |i| Sink {
            cells: Vec::new(),
            has_room: false,
            start: i as u64 * stride,
            stride,
            written: 0,
            collected,
        };
        let sinks = (0..sinks).map(new).collect();
        Ok(Sinks { sinks, rooms: Rooms::default(), scratch })
    }

    /// A buffer `[rows, width]` whose rows are written by `write`, on the threads
    /// of the current rayon pool: it gets the number of a row, and the cells of
    /// this and the following ones, all of which it has to write. With the
    /// buffer comes what it returned, in the order of the rows.
    ///
    /// # Errors
    /// Where the folder cannot be written to.
    pub(crate) fn fill<T: Pod + Send, R: Send>(
        &self,
        rows: usize,
        width: usize,
        write: impl Fn(usize, &mut [T]) -> R + Sync,
    ) -> io::Result<(Buffer<T>, Vec<R>)> {
        // Rows that one thread writes at a time, and that all of them write
        // before they go to a file.
        const ROWS: (usize, usize) = (1 << 10, 1 << 14);
        let write = &write;
        let some = (ROWS.0 * width).max(1);
        let Storage::Folder(_) = self else {
            let mut cells = Unwritten::new(rows * width);
            let parts: Vec<_> = cells.chunks(some).enumerate().collect();
            let parts = parts.into_par_iter();
            let found = parts.map(|(i, cells)| write(i * ROWS.0, cells.clear())).collect();
            return Ok((cells.finish().into(), found));
        };
        let mut sinks = self.sinks(1, rows as u64 * width as u64)?;
        let mut cells = vec![T::zeroed(); ROWS.1.min(rows) * width];
        let mut found = Vec::new();
        for first in (0..rows).step_by(ROWS.1) {
            let cells = &mut cells[..ROWS.1.min(rows - first) * width];
            let parts = cells.par_chunks_mut(some).enumerate();
            found.par_extend(parts.map(|(i, cells)| write(first + i * ROWS.0, cells)));
            sinks.writers().iter_mut().try_for_each(|writer| writer.extend(cells))?;
        }
        let mut buffers = sinks.finish()?;
        Ok((buffers.pop().expect("there is one sink"), found))
    }
}

/// Parts of a file start at multiples of the largest page there is.
const PAGE: u64 = 64 << 10;

/// The bytes of a line of the cache.
const LINE: usize = 64;

/// Smaller writes cost more than they carry.
const PAGE_OF_MEMORY: usize = 4 << 10;

/// So many bytes are collected before they are written, of one sink and of
/// all sinks together.
const COLLECTED: (usize, usize) = (1 << 16, 32 << 20);

/// Buffers that are being filled, which share a file where they are in one.
pub(crate) struct Sinks<T> {
    sinks: Vec<Sink<T>>,
    /// In memory, a room for each of the sinks that has one.
    rooms: Rooms<T>,
    scratch: Option<Scratch>,
}

/// A buffer that is being filled.
struct Sink<T> {
    /// Cells that are not in its room or not yet written to its file: none, or
    /// all of them, where they are in memory.
    cells: Vec<T>,
    has_room: bool,
    /// The offset of the first cell in the file.
    start: u64,
    /// The bytes up to the next sink in the file.
    stride: u64,
    written: u64,
    /// The bytes that are collected before they are written.
    collected: usize,
}

/// Where a sink's cells are put; those of different sinks on different threads.
pub(crate) struct Writer<'a, T> {
    sink: &'a mut Sink<T>,
    room: Option<Room<'a, T>>,
    scratch: Option<&'a Scratch>,
}

impl<T: Pod> Writer<'_, T> {
    /// Appends cells.
    ///
    /// # Errors
    /// Where there is no room in the file system.
    pub(crate) fn extend(&mut self, cells: &[T]) -> io::Result<()> {
        self.extend_by(cells.iter().copied())
    }

    /// As [`Writer::extend`].
    pub(crate) fn extend_by(
        &mut self,
        cells: impl ExactSizeIterator<Item = T> + Clone,
    ) -> io::Result<()> {
        let sink = &mut *self.sink;
        if let Some(room) = &mut self.room {
            if sink.cells.is_empty() && room.extend(cells.clone()) {
                return Ok(());
            }
            // More than were expected.
            sink.cells.extend_from_slice(room.take());
        }
        sink.cells.extend(cells);
        match self.scratch {
            Some(scratch) if size_of_val(&*sink.cells) >= sink.collected => sink.write(scratch),
            _ => Ok(()),
        }
    }

    /// Drops what there is: it will not be needed.
    pub(crate) fn clear(&mut self) {
        self.sink.cells = Vec::new();
        self.sink.written = 0;
        self.room.iter_mut().for_each(|room| {
            room.take();
        });
    }
}

impl<T: Pod> Sink<T> {
    fn write(&mut self, scratch: &Scratch) -> io::Result<()> {
        let bytes = bytemuck::cast_slice(&self.cells);
        if self.written + bytes.len() as u64 > self.stride {
            return Err(io::Error::other("the table has grown while it was read"));
        }
        scratch.write_all_at(bytes, self.start + self.written)?;
        self.written += bytes.len() as u64;
        self.cells.clear();
        Ok(())
    }

    fn range(&self) -> Range<u64> {
        self.start..self.start + self.written
    }
}

impl<T: Pod> Sinks<T> {
    /// Makes room for so many cells of each of some sinks, before anything is
    /// written, where they go to memory and the system has so much.
    pub(crate) fn expect(&mut self, sinks: impl Iterator<Item = usize>, cells: usize) {
        if self.scratch.is_some() {
            return;
        }
        let with_room: Vec<usize> = sinks.collect();
        // Rooms start with a line of the cache, and not all at the same place of a
        // page, where they would compete for the same lines.
        let line = (LINE / size_of::<T>()).max(1);
        let page = PAGE_OF_MEMORY / size_of::<T>();
        let room = cells.next_multiple_of(line);
        let room = room + if room.is_multiple_of(page) { line } else { 0 };
        if let Some(rooms) = Rooms::try_new(with_room.len(), room) {
            self.rooms = rooms;
            with_room.into_iter().for_each(|sink| self.sinks[sink].has_room = true);
        }
    }

    /// A writer for each sink.
    pub(crate) fn writers(&mut self) -> Vec<Writer<'_, T>> {
        let Sinks { sinks, rooms, scratch } = self;
        let mut rooms = rooms.iter_mut();
        let sinks = sinks.iter_mut().map(|sink| {
            let room = if sink.has_room { rooms.next() } else { None };
            Writer { sink, room, scratch: scratch.as_ref() }
        });
        sinks.collect()
    }

    /// The buffers, filled.
    ///
    /// # Errors
    /// Where there is no room in the file system.
    pub(crate) fn finish(mut self) -> io::Result<Vec<Buffer<T>>> {
        let Some(scratch) = self.scratch else {
            let (rooms, mut next) = (Arc::new(self.rooms), 0);
            let buffer = |sink: Sink<T>| {
                let room = next;
                next += usize::from(sink.has_room);
                match sink.has_room && sink.cells.is_empty() {
                    true => Buffer(Arc::new(Place::Room(rooms.clone(), room))),
                    false => sink.cells.into(),
                }
            };
            return Ok(self.sinks.into_iter().map(buffer).collect());
        };
        self.sinks.iter_mut().try_for_each(|sink| sink.write(&scratch))?;
        let parts: Vec<Range<u64>> = self.sinks.iter().map(Sink::range).collect();
        let maps = scratch.map(&parts)?;
        let buffer = |map: Map| match map.is_empty() {
            // No page, and thus no alignment.
            true => Vec::new().into(),
            false => Buffer(Arc::new(Place::Mapped(map))),
        };
        Ok(maps.into_iter().map(buffer).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_files_hold_the_same() {
        let parts: Vec<Vec<f64>> =
            [3, 0, 40_000, 1].map(|n| (0..n).map(f64::from).collect()).to_vec();
        let all = parts.concat();
        for storage in [Storage::Memory, Storage::Folder(std::env::temp_dir())] {
            // Room for none, for some, and for all.
            for expected in [0, 10, 30_000, 50_000] {
                let mut sinks = storage.sinks::<f64>(4, 50_000).unwrap();
                if expected > 0 {
                    sinks.expect([0, 2, 3].into_iter(), expected);
                }
                for part in &parts {
                    let mut writers = sinks.writers();
                    writers[0].extend(part).unwrap();
                    writers[2].extend(part).unwrap();
                    writers[3].extend(part).unwrap();
                }
                sinks.writers()[2].clear();
                let buffers = sinks.finish().unwrap();
                assert_eq!(buffers[0], all);
                assert!(buffers[1].is_empty() && buffers[2].is_empty());
                assert_eq!(buffers[3], all);
            }
            for (rows, width) in [(40_004, 2), (3, 1), (5, 0), (0, 2)] {
                let write = |first: usize, cells: &mut [f64]| {
                    let cell = |(i, cell): (usize, &mut f64)| *cell = (first * width + i) as f64;
                    cells.iter_mut().enumerate().for_each(cell);
                    first
                };
                let (cells, first_rows) = storage.fill(rows, width, write).unwrap();
                assert!(cells.iter().copied().eq((0..rows * width).map(|i| i as f64)));
                assert!(first_rows.is_sorted());
            }
        }
        assert!(Storage::Folder("no/such/folder".into()).sinks::<f32>(1, 1).is_err());
    }
}
