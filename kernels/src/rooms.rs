//! Memory that is written before it is read, in large pages, without being cleared
//! first: what an allocator takes from its own stock it would clear on one thread.

use super::map::advise_large_pages;
use bytemuck::Zeroable;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Memory for so many values, in large pages where the system has them; none where it
/// refuses so much.
fn unwritten<T>(n: usize) -> Option<Vec<MaybeUninit<T>>> {
    let mut values = Vec::new();
    values.try_reserve_exact(n).ok()?;
    advise_large_pages(values.spare_capacity_mut().as_ptr_range());
    // SAFETY: n is the capacity at the most, and a value that need not be initialized
    // is there as soon as its memory is.
    unsafe { values.set_len(n) };
    Some(values)
}

/// Rooms of one size, one behind the other, which are filled independently: large
/// pages would be half empty if each room had its own.
#[derive(Debug)]
pub struct Rooms<T> {
    values: Vec<MaybeUninit<T>>,
    size: usize,
    /// How many values of each room have been written, from its start on.
    filled: Vec<usize>,
}

/// A room that is being filled.
#[derive(Debug)]
pub struct Room<'a, T> {
    values: &'a mut [MaybeUninit<T>],
    filled: &'a mut usize,
}

impl<T> Default for Rooms<T> {
    fn default() -> Self {
        Rooms { values: Vec::new(), size: 0, filled: Vec::new() }
    }
}

impl<T: Copy> Rooms<T> {
    /// So many empty rooms for `size` values each; none where the system refuses so
    /// much.
    pub fn try_new(rooms: usize, size: usize) -> Option<Rooms<T>> {
        let values = unwritten(rooms.checked_mul(size)?)?;
        Some(Rooms { values, size, filled: vec![0; rooms] })
    }

    /// All rooms, to be filled further.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = Room<'_, T>> {
        let (mut rest, size) = (&mut self.values[..], self.size);
        self.filled.iter_mut().map(move |filled| {
            let (values, behind) = std::mem::take(&mut rest).split_at_mut(size);
            rest = behind;
            Room { values, filled }
        })
    }

    /// What has been written to a room.
    ///
    /// # Panics
    /// Where there is no such room.
    #[inline]
    pub fn filled(&self, room: usize) -> &[T] {
        let values = &self.values[room * self.size..][..self.filled[room]];
        // SAFETY: a room has as many values written as it says, and these have the
        // layout of values that need not be.
        unsafe { &*(std::ptr::from_ref(values) as *const [T]) }
    }
}

impl<T: Copy> Room<'_, T> {
    /// Appends values, if there is room for all of them; whether there is.
    pub fn extend(&mut self, values: impl ExactSizeIterator<Item = T>) -> bool {
        let places = self.values.get_mut(*self.filled..*self.filled + values.len());
        let Some(places) = places else { return false };
        let mut written = 0;
        for (place, value) in places.iter_mut().zip(values) {
            place.write(value);
            written += 1;
        }
        *self.filled += written;
        true
    }

    /// Empties the room; what was in it.
    pub fn take(&mut self) -> &[T] {
        let values = &self.values[..std::mem::take(self.filled)];
        // SAFETY: as in `filled`.
        unsafe { &*(std::ptr::from_ref(values) as *const [T]) }
    }
}

/// Values that are to be written chunk by chunk, on any threads.
#[derive(Debug)]
pub struct Unwritten<T> {
    values: Vec<MaybeUninit<T>>,
    /// How many values have been cleared since the chunks were handed out.
    cleared: AtomicUsize,
}

/// Some values of [`Unwritten`].
#[derive(Debug)]
pub struct Chunk<'a, T> {
    values: &'a mut [MaybeUninit<T>],
    cleared: &'a AtomicUsize,
}

impl<T: Zeroable + Copy> Unwritten<T> {
    /// So many of them.
    ///
    /// # Panics
    /// Where the system refuses so much memory.
    pub fn new(n: usize) -> Unwritten<T> {
        let values = unwritten(n).unwrap_or_else(|| panic!("there is no memory for {n} values"));
        Unwritten { values, cleared: AtomicUsize::new(0) }
    }

    /// All of them, so many at a time.
    ///
    /// # Panics
    /// Where that is none.
    pub fn chunks(&mut self, size: usize) -> impl Iterator<Item = Chunk<'_, T>> {
        *self.cleared.get_mut() = 0;
        let cleared = &self.cleared;
        self.values.chunks_mut(size).map(move |values| Chunk { values, cleared })
    }

    /// The values.
    ///
    /// # Panics
    /// Where not all chunks that were handed out last have been cleared.
    pub fn finish(mut self) -> Vec<T> {
        assert_eq!(*self.cleared.get_mut(), self.values.len(), "all values are written");
        let mut values = std::mem::ManuallyDrop::new(self.values);
        let (start, length, capacity) = (values.as_mut_ptr(), values.len(), values.capacity());
        // SAFETY: a vector's own parts, of which it is not made again. Chunks do not
        // overlap, and each is cleared once at the most: as many values as there are
        // were written, and thus all of them.
        unsafe { Vec::from_raw_parts(start.cast::<T>(), length, capacity) }
    }
}

impl<'a, T: Zeroable + Copy> Chunk<'a, T> {
    /// The values, all zero.
    pub fn clear(self) -> &'a mut [T] {
        self.values.fill(MaybeUninit::zeroed());
        self.cleared.fetch_add(self.values.len(), Ordering::Relaxed);
        // SAFETY: all of them have been written, with zeros, which are values of the
        // type.
        unsafe { &mut *(std::ptr::from_mut(self.values) as *mut [T]) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rooms_keep_what_is_put_in() {
        let mut rooms = Rooms::try_new(3, 5).unwrap();
        let mut all: Vec<Room<'_, u32>> = rooms.iter_mut().collect();
        assert!(all[0].extend([1, 2].into_iter()) && all[2].extend(3..8));
        assert!(all[0].extend([3].into_iter()) && all[1].extend(0..0));
        // There is room for two more.
        assert!(!all[0].extend(0..3) && !all[2].extend(0..1));
        assert_eq!(all[2].take(), [3, 4, 5, 6, 7]);
        assert!(all[2].extend(9..10));
        assert_eq!(
            (rooms.filled(0), rooms.filled(1), rooms.filled(2)),
            (&[1, 2, 3][..], &[][..], &[9][..])
        );
        assert!(Rooms::<u64>::try_new(usize::MAX / 8, 3).is_none());
        assert!(Rooms::<u64>::try_new(1, usize::MAX / 8).is_none());
        assert!(Rooms::<u64>::default().iter_mut().next().is_none());
    }

    #[test]
    fn chunks_become_values() {
        for (n, size) in [(0, 3), (10, 3), (9, 3), (1_000_000, 4096)] {
            let mut values = Unwritten::<u32>::new(n);
            for (i, chunk) in values.chunks(size).enumerate() {
                let chunk = chunk.clear();
                assert!(chunk.iter().all(|value| *value == 0));
                chunk[0] = i as u32;
            }
            let values = values.finish();
            assert_eq!(values.len(), n);
            assert!(values.chunks(size).enumerate().all(|(i, chunk)| chunk[0] == i as u32));
        }
    }

    #[test]
    #[should_panic(expected = "all values are written")]
    fn what_is_not_written_is_not_given() {
        let mut values = Unwritten::<u8>::new(5);
        // Once more does not make up for the second one.
        values.chunks(3).take(1).for_each(|chunk| assert_eq!(chunk.clear().len(), 3));
        values.chunks(3).take(1).for_each(|chunk| assert_eq!(chunk.clear().len(), 3));
        values.finish();
    }
}
