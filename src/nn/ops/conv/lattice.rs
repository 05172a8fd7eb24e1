//! Which source pixels feed which output pixels: one description for the forward pass, for the gradient to the input
//! (one lattice for each residue of the stride) and for transposed convolutions.

use std::ops::Range;

use crate::nn::ops::window::Axis;

/// Output pixels `start + step · (i, j)`; tap `t` of pixel `(i, j)` reads source pixel `source_step · (i, j) +
/// offsets[t]`, or nothing where that lies outside the source. Pairs are `[vertical, horizontal]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Lattice {
    pub start: [usize; 2],
    pub step: [usize; 2],
    pub count: [usize; 2],
    pub source_step: [usize; 2],
    pub offsets: Vec<[isize; 2]>,
}

impl Lattice {
    /// The pixels of it whose row in the target is one of `rows`.
    pub fn of_rows(&self, rows: &Range<usize>) -> Self {
        let index = |row: usize| row.saturating_sub(self.start[0]).div_ceil(self.step[0]).min(self.count[0]);
        let (first, end) = (index(rows.start), index(rows.end));
        let moved = (first * self.source_step[0]) as isize;
        Self {
            start: [self.start[0] + first * self.step[0], self.start[1]],
            count: [end - first, self.count[1]],
            offsets: self.offsets.iter().map(|&[dy, dx]| [dy + moved, dx]).collect(),
            ..*self
        }
    }

    /// The rows of a source of `height` rows that it reads; those outside are left out. `granule` rows are computed
    /// together, and read what all of them would.
    pub fn source_rows(&self, height: usize, granule: usize) -> Range<usize> {
        let offsets = || self.offsets.iter().map(|offset| offset[0]);
        let (Some(lowest), Some(highest)) = (offsets().min(), offsets().max()) else { return 0..0 };
        if self.count[0] == 0 {
            return 0..0;
        }
        let last = (self.count[0].next_multiple_of(granule) - 1) * self.source_step[0];
        let inside = |row: isize| row.clamp(0, height as isize) as usize;
        inside(lowest)..inside(last as isize + highest + 1)
    }
}

/// The taps `[vertical, horizontal]` that work together: all of them in the forward pass; in the backward pass those
/// whose dilated position has the same residue modulo the stride, because they meet the same input pixels.
pub type TapGroup = Vec<[usize; 2]>;

/// The taps of a forward pass, in scan order.
pub fn forward_taps(kernel: [usize; 2]) -> TapGroup {
    (0..kernel[0]).flat_map(|y| (0..kernel[1]).map(move |x| [y, x])).collect()
}

/// The tap groups of a backward pass: group `[residue_y · stride_x + residue_x]`.
pub fn backward_taps(kernel: [usize; 2], stride: [usize; 2], dilation: [usize; 2]) -> Vec<TapGroup> {
    let mut groups = vec![TapGroup::new(); stride[0] * stride[1]];
    for [y, x] in forward_taps(kernel) {
        groups[(y * dilation[0] % stride[0]) * stride[1] + x * dilation[1] % stride[1]].push([y, x]);
    }
    groups
}

/// The lattice of a convolution's forward pass: sources are its inputs.
pub fn forward_lattice([vertical, horizontal]: &[Axis; 2]) -> Lattice {
    let offset = |axis: &Axis, tap: usize| (tap * axis.dilation) as isize - axis.pad_before as isize;
    Lattice {
        start: [0, 0],
        step: [1, 1],
        count: [vertical.output, horizontal.output],
        source_step: [vertical.stride, horizontal.stride],
        offsets: forward_taps([vertical.kernel, horizontal.kernel])
            .iter()
            .map(|&[y, x]| [offset(vertical, y), offset(horizontal, x)])
            .collect(),
    }
}

/// The lattices of the gradient to a convolution's input, one for each group of [`backward_taps`]: sources are the
/// gradients of its outputs. Input pixel `i` takes tap `k` from output `(i + pad − k · dilation) / stride`.
pub fn backward_lattices(axes: &[Axis; 2]) -> Vec<Lattice> {
    let [vertical, horizontal] = axes;
    let stride = [vertical.stride, horizontal.stride];
    let groups = backward_taps([vertical.kernel, horizontal.kernel], stride, [vertical.dilation, horizontal.dilation]);
    let lattice = |(index, taps): (usize, &TapGroup)| {
        let residues = [index / stride[1], index % stride[1]];
        // The first input pixel with i + pad ≡ residue (mod stride).
        let first = |axis: &Axis, residue: usize| (residue + axis.stride - axis.pad_before % axis.stride) % axis.stride;
        let start = [first(vertical, residues[0]), first(horizontal, residues[1])];
        let count = |axis: &Axis, start: usize| axis.input.saturating_sub(start).div_ceil(axis.stride);
        let offset = |axis: &Axis, start: usize, tap: usize| {
            ((start + axis.pad_before) as isize - (tap * axis.dilation) as isize).div_euclid(axis.stride as isize)
        };
        Lattice {
            start,
            step: stride,
            count: [count(vertical, start[0]), count(horizontal, start[1])],
            source_step: [1, 1],
            offsets: taps
                .iter()
                .map(|&[y, x]| [offset(vertical, start[0], y), offset(horizontal, start[1], x)])
                .collect(),
        }
    };
    groups.iter().enumerate().map(lattice).collect()
}

/// Squares of 2×2 output pixels computed together: one lattice over the squares, reading every source pixel that any
/// of the four needs. Where pixels have few channels, one row of registers then holds all four.
#[derive(Clone, Debug, PartialEq)]
pub struct Superpixels {
    pub lattice: Lattice,
    /// For each pixel of the square `(vertical, horizontal)` and each of the lattice's offsets, the tap that works there.
    pub taps: [[Vec<Option<[usize; 2]>>; 2]; 2],
}

/// The gradient to a convolution's input by squares of pixels; for strides of 1 and 2.
pub fn backward_superpixels(axes: &[Axis; 2]) -> Option<Superpixels> {
    let stride = [axes[0].stride, axes[1].stride];
    if stride != [1, 1] && stride != [2, 2] {
        return None;
    }
    let groups = backward_taps([axes[0].kernel, axes[1].kernel], stride, [axes[0].dilation, axes[1].dilation]);
    let lattices = backward_lattices(axes);
    // What pixel (y, x) of a square reads: its taps, and where from, relative to the square.
    let reads = |y: usize, x: usize| -> Vec<([isize; 2], [usize; 2])> {
        if stride == [1, 1] {
            let shifted = lattices[0].offsets.iter().map(|&[dy, dx]| [dy + y as isize, dx + x as isize]);
            return shifted.zip(groups[0].iter().copied()).collect();
        }
        let of_pixel = lattices.iter().zip(&groups).find(|(lattice, _)| lattice.start == [y, x]);
        of_pixel
            .map_or(Vec::new(), |(lattice, taps)| lattice.offsets.iter().copied().zip(taps.iter().copied()).collect())
    };
    let reads = [0, 1].map(|y| [0, 1].map(|x| reads(y, x)));
    let mut offsets: Vec<[isize; 2]> = reads.iter().flatten().flatten().map(|&(offset, _)| offset).collect();
    offsets.sort_unstable();
    offsets.dedup();
    let tap_at =
        |reads: &Vec<([isize; 2], [usize; 2])>, offset| reads.iter().find(|(at, _)| *at == offset).map(|&(_, tap)| tap);
    let taps = reads
        .each_ref()
        .map(|row| row.each_ref().map(|reads| offsets.iter().map(|&offset| tap_at(reads, offset)).collect()));
    let lattice = Lattice {
        start: [0, 0],
        step: [2, 2],
        count: [axes[0].input.div_ceil(2), axes[1].input.div_ceil(2)],
        source_step: [2 / stride[0], 2 / stride[1]],
        offsets,
    };
    Some(Superpixels { lattice, taps })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::window::{Padding, Window};

    #[test]
    fn the_lattices_of_ranges_of_rows_visit_what_the_whole_visits() {
        for (stride, pad, kernel, size) in [(1, 1, 3, 9), (2, 1, 3, 12), (2, 0, 1, 9), (2, 2, 5, 11), (3, 1, 2, 13)] {
            let window = Window::square(kernel, stride).padded(Padding::all(pad));
            let axes = window.resolve([size, size]).unwrap();
            let superpixels = backward_superpixels(&axes).map(|squares| squares.lattice);
            let lattices = backward_lattices(&axes).into_iter().chain([forward_lattice(&axes)]).chain(superpixels);
            for lattice in lattices {
                // Every pixel of the target, with the row of the source under each tap.
                let visited = |lattice: &Lattice| -> Vec<(usize, Vec<isize>)> {
                    let under = |i: usize| {
                        lattice.offsets.iter().map(|o| (i * lattice.source_step[0]) as isize + o[0]).collect()
                    };
                    (0..lattice.count[0]).map(|i| (lattice.start[0] + i * lattice.step[0], under(i))).collect()
                };
                let whole = visited(&lattice);
                let ranges = [0..4, 4..4, 4..6, 6..40];
                let parts: Vec<_> = ranges.iter().map(|rows| lattice.of_rows(rows)).collect();
                assert_eq!(parts.iter().flat_map(visited).collect::<Vec<_>>(), whole);
                for (part, rows) in parts.iter().zip(&ranges) {
                    assert!(visited(part).iter().all(|(row, _)| rows.contains(row)), "{rows:?} of {lattice:?}");
                    let read = part.source_rows(size, 1);
                    let mut under = visited(part).into_iter().flat_map(|(_, rows)| rows);
                    assert!(under.all(|row| row < 0 || row >= size as isize || read.contains(&(row as usize))));
                }
            }
        }
    }

    #[test]
    fn backward_lattices_are_the_transpose_of_the_forward_lattice() {
        for (stride, dilation, pad, kernel, size) in
            [(1, 1, 1, 3, 7), (2, 1, 1, 3, 8), (2, 1, 0, 1, 7), (3, 2, 2, 5, 17), (2, 2, 3, 4, 11), (4, 1, 2, 11, 30)]
        {
            let window = Window { dilation: [dilation; 2], ..Window::square(kernel, stride) };
            let axes = window.padded(Padding::all(pad)).resolve([size, size + 1]).unwrap();
            let mut forward = Vec::new();
            let lattice = forward_lattice(&axes);
            for (tap, offset) in forward_taps([kernel, kernel]).iter().zip(&lattice.offsets) {
                for (y, x) in (0..axes[0].output).flat_map(|y| (0..axes[1].output).map(move |x| (y, x))) {
                    let source = [(y * stride) as isize + offset[0], (x * stride) as isize + offset[1]];
                    if (0..size as isize).contains(&source[0]) && (0..size as isize + 1).contains(&source[1]) {
                        forward.push(([y, x], source.map(|s| s as usize), *tap));
                    }
                }
            }
            let mut backward = Vec::new();
            let groups = backward_taps([kernel; 2], [stride; 2], [dilation; 2]);
            for (taps, lattice) in groups.iter().zip(backward_lattices(&axes)) {
                for (tap, offset) in taps.iter().zip(&lattice.offsets) {
                    for (i, j) in (0..lattice.count[0]).flat_map(|i| (0..lattice.count[1]).map(move |j| (i, j))) {
                        let input = [lattice.start[0] + i * stride, lattice.start[1] + j * stride];
                        let output = [i as isize + offset[0], j as isize + offset[1]];
                        if (0..axes[0].output as isize).contains(&output[0])
                            && (0..axes[1].output as isize).contains(&output[1])
                        {
                            backward.push((output.map(|o| o as usize), input, *tap));
                        }
                    }
                }
            }
            forward.sort();
            backward.sort();
            assert_eq!(forward, backward, "stride {stride} dilation {dilation} pad {pad} kernel {kernel}");
        }
    }
}
