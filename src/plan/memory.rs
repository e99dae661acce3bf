//! Where values lie: buffers that are never alive together share their place.

use super::{BufferId, Step};

/// A feature-major matrix of a tile, a part of the shard's arena.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer {
    /// The value of the Ir that is first put there, or what it is for.
    pub name: String,
    /// Its features.
    pub width: usize,
    /// Where it begins, in features: times the lanes of a tile, in f32.
    pub offset: usize,
}

/// Gives every buffer its place and returns the arena's size, in features.
///
/// A buffer lives from the first step that touches it to the last one, the
/// output to the end. The steps from `together` on run in any order, and more
/// than once: what they touch lives through all of them, and so do the buffers that
/// are `kept`. Buffers are placed largest first, each at the lowest offset where it
/// meets no other that is alive with it.
pub(super) fn assign(
    steps: &[Step],
    buffers: &mut [Buffer],
    output: Option<BufferId>,
    together: usize,
    kept: &[BufferId],
) -> usize {
    let mut lives: Vec<Option<(usize, usize)>> = vec![None; buffers.len()];
    for (at, step) in steps.iter().enumerate() {
        for buffer in step.buffers() {
            let (from, to) = if at < together { (at, at) } else { (together, steps.len()) };
            lives[buffer] = Some((lives[buffer].map_or(from, |(first, _)| first), to));
        }
    }
    for &buffer in output.iter().chain(kept) {
        if let Some((_, last)) = &mut lives[buffer] {
            *last = steps.len();
        }
    }
    let mut order: Vec<BufferId> = (0..buffers.len()).collect();
    order.sort_by_key(|&b| std::cmp::Reverse(buffers[b].width));
    let mut placed: Vec<BufferId> = Vec::new();
    let mut arena = 0;
    for buffer in order {
        let Some((first, last)) = lives[buffer] else { continue };
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&other| lives[other].is_some_and(|(f, l)| f <= last && first <= l))
            .map(|&other| (buffers[other].offset, buffers[other].offset + buffers[other].width))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (start, end) in taken {
            if offset + buffers[buffer].width <= start {
                break;
            }
            offset = offset.max(end);
        }
        buffers[buffer].offset = offset;
        arena = arena.max(offset + buffers[buffer].width);
        placed.push(buffer);
    }
    arena
}
