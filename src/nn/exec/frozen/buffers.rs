//! One arena: buffers with lifetimes, laid out so that those that live at the same time do not overlap.

/// The index of a buffer.
pub type BufferId = usize;

/// Floats between which buffers begin: a cache line.
const ALIGNMENT: usize = 16;
/// Floats behind the last buffer that kernels may read (never use).
const SLACK: usize = 32;

#[derive(Clone, Debug)]
struct Buffer {
    floats: usize,
    /// The first and last moment at which the content matters.
    life: [usize; 2],
}

/// Collects buffers and lays them out.
#[derive(Default)]
pub struct Layout {
    buffers: Vec<Buffer>,
}

/// Where every buffer lies in the arena, in floats.
pub struct Offsets {
    pub of: Vec<usize>,
    pub total: usize,
}

impl Layout {
    /// A buffer that is written first at `moment`.
    pub fn add(&mut self, floats: usize, moment: usize) -> BufferId {
        self.buffers.push(Buffer { floats, life: [moment, moment] });
        self.buffers.len() - 1
    }

    /// The buffer is used at `moment`.
    pub fn touch(&mut self, buffer: BufferId, moment: usize) {
        let [first, last] = &mut self.buffers[buffer].life;
        *first = moment.min(*first);
        *last = moment.max(*last);
    }

    pub fn len(&self) -> usize {
        self.buffers.len()
    }

    /// The buffer is not needed after all.
    pub fn discard(&mut self, buffer: BufferId) {
        self.buffers[buffer].floats = 0;
    }

    /// Lays out the largest buffers first, each in the lowest gap between the placed ones that it lives along with.
    pub fn offsets(&self) -> Offsets {
        let mut order: Vec<BufferId> = (0..self.buffers.len()).collect();
        order.sort_by_key(|&id| std::cmp::Reverse(self.buffers[id].floats));
        let mut of = vec![0; self.buffers.len()];
        let mut placed: Vec<BufferId> = Vec::new();
        let mut total = 0;
        for id in order {
            let buffer = &self.buffers[id];
            let mut offset = 0;
            // `placed` is sorted by offset.
            for &other in placed.iter().filter(|&&other| self.live_together(id, other)) {
                if offset + buffer.floats <= of[other] {
                    break;
                }
                offset = offset.max((of[other] + self.buffers[other].floats).next_multiple_of(ALIGNMENT));
            }
            of[id] = offset;
            total = total.max(offset + buffer.floats);
            let position = placed.partition_point(|&other| of[other] <= offset);
            placed.insert(position, id);
        }
        debug_assert!(self.disjoint(&of));
        Offsets { of, total: total + SLACK }
    }

    fn live_together(&self, a: BufferId, b: BufferId) -> bool {
        let ([a_first, a_last], [b_first, b_last]) = (self.buffers[a].life, self.buffers[b].life);
        a_first <= b_last && b_first <= a_last
    }

    fn disjoint(&self, of: &[usize]) -> bool {
        (0..of.len()).all(|a| {
            (0..a).all(|b| {
                let apart = of[a] + self.buffers[a].floats <= of[b] || of[b] + self.buffers[b].floats <= of[a];
                apart || !self.live_together(a, b)
            })
        })
    }
}

/// The arena's memory, aligned to cache lines and kept from one session to the next.
#[derive(Default)]
pub struct Arena {
    lines: Vec<Line>,
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; ALIGNMENT]);

impl Arena {
    /// Makes room for at least `floats`.
    pub fn reserve(&mut self, floats: usize) {
        let lines = floats.div_ceil(ALIGNMENT);
        if self.lines.len() < lines {
            // The old content is of no use: nothing is copied.
            self.lines = Vec::new();
            self.lines = vec![Line([0.0; ALIGNMENT]); lines];
        }
    }

    /// The first float. Valid, and the only way to the memory, until the next call of a method.
    pub fn start(&mut self) -> *mut f32 {
        self.lines.as_mut_ptr().cast()
    }

    /// `floats` from `offset` on.
    pub fn slice(&self, offset: usize, floats: usize) -> &[f32] {
        assert!(offset + floats <= self.lines.len() * ALIGNMENT);
        // SAFETY: inside the allocation, which holds nothing but initialized floats.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast::<f32>().add(offset), floats) }
    }

    pub fn slice_mut(&mut self, offset: usize, floats: usize) -> &mut [f32] {
        assert!(offset + floats <= self.lines.len() * ALIGNMENT);
        // SAFETY: as in `slice`, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start().add(offset), floats) }
    }

    pub fn bytes(&self) -> usize {
        size_of_val(self.lines.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_that_do_not_live_together_share_memory() {
        let mut layout = Layout::default();
        for moment in 0..10 {
            let buffer = layout.add(100, moment);
            layout.touch(buffer, moment + 1);
        }
        let offsets = layout.offsets();
        assert!(layout.disjoint(&offsets.of));
        assert!(offsets.total <= 3 * 112 + SLACK, "two at a time need no more: {}", offsets.total);
    }

    #[test]
    fn buffers_that_live_together_do_not_overlap() {
        let mut layout = Layout::default();
        for i in 0..50 {
            let buffer = layout.add(1 + i * 37 % 101, i % 7);
            layout.touch(buffer, i % 7 + i % 5);
        }
        assert!(layout.disjoint(&layout.offsets().of));
    }
}
