//! Convolution of any kind, its adjoint and its weight gradient, over `base::blas::gemm`: the path of training and of
//! checks. Transposed convolution is the same three routines with the roles of input and output swapped.
//!
//! Pixels are gathered into the rows of a matrix, strip by strip ("im2col", Chellapilla 2006), so that scratch stays
//! small at any picture size. All loops write to places of their own: the same bytes on any number of threads.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::base::blas::{Op, gemm};
use crate::base::parallel;
use crate::base::tensor::Scalar;
use crate::nn::ops::window::Axis;

/// Elements of one task's matrix of gathered pixels, about: 1 MB in `f32`.
const SCRATCH_ELEMENTS: usize = 1 << 18;
/// Below this, a matrix product spends its time on packing.
const MIN_STRIP_PIXELS: usize = 32;
/// Rows of the weight gradient that one task computes.
const GRADIENT_ROWS: usize = 64;

/// A convolution from `in_channels` maps of `rows.input × columns.input` pixels to `out_channels` maps of
/// `rows.output × columns.output`.
#[derive(Clone, Copy, Debug)]
pub(in crate::nn) struct Geometry {
    pub batch: usize,
    pub rows: Axis,
    pub columns: Axis,
    pub in_channels: usize,
    pub out_channels: usize,
    pub groups: usize,
}

/// What a product is added to.
#[derive(Clone, Copy)]
pub(in crate::nn) enum Onto<'a, F> {
    /// To nothing: what was there is forgotten.
    Nought,
    Bias(&'a [F]),
    /// To what is there.
    Sum,
}

impl<F: Scalar> Onto<'_, F> {
    /// Prepares NHWC pixels for being added to.
    pub fn prepare(self, pixels: &mut [F]) {
        match self {
            Self::Nought => pixels.fill(F::zero()),
            Self::Bias(bias) => pixels.chunks_exact_mut(bias.len()).for_each(|pixel| pixel.copy_from_slice(bias)),
            Self::Sum => {}
        }
    }
}

impl Geometry {
    pub fn taps(&self) -> usize {
        self.rows.kernel * self.columns.kernel
    }

    /// Input channels of one group.
    fn group_in(&self) -> usize {
        self.in_channels / self.groups
    }

    /// Output channels of one group.
    fn group_out(&self) -> usize {
        self.out_channels / self.groups
    }

    /// The length of a gathered window of one group: `[tap, channel]`.
    fn patch_len(&self) -> usize {
        self.taps() * self.group_in()
    }

    fn output_pixels(&self) -> usize {
        self.batch * self.rows.output * self.columns.output
    }

    /// Whether every output channel sees one input channel, its own.
    pub fn is_depthwise(&self) -> bool {
        self.groups == self.in_channels && self.groups == self.out_channels
    }

    /// Whether pixels map to pixels, without borders: a product of matrices as they lie.
    fn is_pointwise(&self) -> bool {
        let plain =
            |axis: &Axis| (axis.kernel, axis.stride) == (1, 1) && axis.input == axis.output && axis.pad_before == 0;
        self.groups == 1 && plain(&self.rows) && plain(&self.columns)
    }

    /// The index in OIHW weights of (group, tap, input channel, output channel), channels counted within the group.
    fn weight_index(&self, group: usize, tap: usize, i: usize, o: usize) -> usize {
        ((group * self.group_out() + o) * self.group_in() + i) * self.taps() + tap
    }

    /// Weights as `[group, tap, in, out]`: one `patch_len × group_out` matrix a group.
    fn pack<F: Scalar>(&self, weight: &[F]) -> Vec<F> {
        let mut packed = Vec::with_capacity(weight.len());
        for group in 0..self.groups {
            for tap in 0..self.taps() {
                for i in 0..self.group_in() {
                    packed.extend((0..self.group_out()).map(|o| weight[self.weight_index(group, tap, i, o)]));
                }
            }
        }
        packed
    }

    /// Cuts `pixels` into strips of gathered rows of `row_len`: small enough for the cache, enough of them for threads.
    fn strip(pixels: usize, row_len: usize) -> usize {
        const MIN_TASKS: usize = 8;
        (SCRATCH_ELEMENTS / row_len).min(pixels.div_ceil(MIN_TASKS)).max(MIN_STRIP_PIXELS)
    }

    /// Gathers part of the windows of consecutive output pixels from `first_pixel` on: row by row of `patches`, the
    /// elements `part` of the `[tap, channel]` window of a group; nought outside the input.
    fn gather<F: Scalar>(&self, input: &[F], first_pixel: usize, group: usize, part: &Range<usize>, patches: &mut [F]) {
        let (rows, columns, width) = (&self.rows, &self.columns, self.group_in());
        let (mut oy, mut ox) = (first_pixel / columns.output, first_pixel % columns.output);
        let mut image = oy / rows.output;
        oy %= rows.output;
        for patch in patches.chunks_exact_mut(part.len()) {
            let mut at = part.start;
            while at < part.end {
                let (tap, c) = (at / width, at % width);
                let end = part.end.min((tap + 1) * width);
                let place = &mut patch[at - part.start..end - part.start];
                let (ky, kx) = (tap / columns.kernel, tap % columns.kernel);
                match rows.input_at(oy, ky).zip(columns.input_at(ox, kx)) {
                    Some((y, x)) => {
                        let pixel = (image * rows.input + y) * columns.input + x;
                        let from = pixel * self.in_channels + group * width + c;
                        place.copy_from_slice(&input[from..from + place.len()]);
                    }
                    None => place.fill(F::zero()),
                }
                at = end;
            }
            ox += 1;
            if ox == columns.output {
                (ox, oy) = (0, oy + 1);
                if oy == rows.output {
                    (oy, image) = (0, image + 1);
                }
            }
        }
    }

    /// output = onto + convolution of `input` with `weight` (OIHW).
    pub fn convolve<F: Scalar>(&self, input: &[F], weight: &[F], onto: Onto<'_, F>, output: &mut [F]) {
        let (patch_len, group_out) = (self.patch_len(), self.group_out());
        let packed = self.pack(weight);
        let strip = Self::strip(self.output_pixels(), patch_len);
        parallel::for_each_chunk_mut(output, strip * self.out_channels, |task, output| {
            onto.prepare(output);
            let (first, pixels) = (task * strip, output.len() / self.out_channels);
            if self.is_pointwise() {
                // output [pixels × out] += input [pixels × in] · packed [in × out]
                let input = &input[first * self.in_channels..][..pixels * self.in_channels];
                let dims = [pixels, self.out_channels, self.in_channels];
                return gemm(dims, F::one(), (input, Op::Plain), (&packed, Op::Plain), F::one(), output);
            }
            let mut patches = vec![F::zero(); pixels * patch_len];
            let mut product = vec![F::zero(); if self.groups > 1 { pixels * group_out } else { 0 }];
            for (group, packed) in packed.chunks_exact(patch_len * group_out).enumerate() {
                self.gather(input, first, group, &(0..patch_len), &mut patches);
                // output [pixels × out] += patches [pixels × patch] · packed [patch × out], group by group
                let dims = [pixels, group_out, patch_len];
                if self.groups == 1 {
                    gemm(dims, F::one(), (&patches, Op::Plain), (packed, Op::Plain), F::one(), output);
                } else {
                    gemm(dims, F::one(), (&patches, Op::Plain), (packed, Op::Plain), F::zero(), &mut product);
                    let of_group = output.chunks_exact_mut(self.out_channels);
                    for (output, product) in of_group.zip(product.chunks_exact(group_out)) {
                        add(&mut output[group * group_out..][..group_out], product);
                    }
                }
            }
        });
    }

    /// d_input = onto + adjoint of the convolution, of `d_output`.
    ///
    /// Input pixels fall into classes: those with the same taps of the window on them, one class a residue of the
    /// stride. Each class is a convolution of stride 1 with its taps only.
    pub fn adjoint<F: Scalar>(&self, d_output: &[F], weight: &[F], onto: Onto<'_, F>, d_input: &mut [F]) {
        let row_len = self.columns.input * self.in_channels;
        if self.is_pointwise() {
            let strip = Self::strip(self.output_pixels(), self.out_channels);
            return parallel::for_each_chunk_mut(d_input, strip * self.in_channels, |task, d_input| {
                onto.prepare(d_input);
                let (first, pixels) = (task * strip, d_input.len() / self.in_channels);
                let d_output = &d_output[first * self.out_channels..][..pixels * self.out_channels];
                // d_input [pixels × in] += d_output [pixels × out] · weight [out × in]
                let dims = [pixels, self.in_channels, self.out_channels];
                gemm(dims, F::one(), (d_output, Op::Plain), (weight, Op::Plain), F::one(), d_input);
            });
        }
        let classes = self.classes(weight);
        let strip = Self::strip(self.batch * self.rows.input * self.columns.input, self.taps() * self.group_out());
        let rows_a_task = strip.div_ceil(self.columns.input);
        parallel::for_each_chunk_mut(d_input, rows_a_task * row_len, |task, d_input| {
            onto.prepare(d_input);
            let mut scratch = Scratch::default();
            for class in &classes {
                self.adjoint_of_class(class, d_output, task * rows_a_task, d_input, &mut scratch);
            }
        });
    }

    /// The classes of input pixels, at most one a tap.
    fn classes<F: Scalar>(&self, weight: &[F]) -> Vec<Class<F>> {
        let of_axis = |axis: &Axis| {
            let mut taps_of_residue = BTreeMap::<usize, Vec<usize>>::new();
            for tap in 0..axis.kernel {
                taps_of_residue.entry(tap * axis.dilation % axis.stride).or_default().push(tap);
            }
            taps_of_residue
        };
        let (vertical, horizontal) = (of_axis(&self.rows), of_axis(&self.columns));
        let mut classes = Vec::new();
        for (&row_residue, row_taps) in &vertical {
            for (&column_residue, column_taps) in &horizontal {
                let pairs = row_taps.iter().flat_map(|&ky| column_taps.iter().map(move |&kx| [ky, kx]));
                let taps: Vec<[usize; 2]> = pairs.collect();
                let mut packed = Vec::with_capacity(taps.len() * self.in_channels * self.group_out());
                for group in 0..self.groups {
                    for [ky, kx] in &taps {
                        let tap = ky * self.columns.kernel + kx;
                        for o in 0..self.group_out() {
                            packed.extend((0..self.group_in()).map(|i| weight[self.weight_index(group, tap, i, o)]));
                        }
                    }
                }
                classes.push(Class { residues: [row_residue, column_residue], taps, packed });
            }
        }
        classes
    }

    /// Adds the gradients of the pixels of one class in the rows `first_row..` that `d_input` holds.
    fn adjoint_of_class<F: Scalar>(
        &self,
        class: &Class<F>,
        d_output: &[F],
        first_row: usize,
        d_input: &mut [F],
        scratch: &mut Scratch<F>,
    ) {
        let (group_in, group_out) = (self.group_in(), self.group_out());
        let patch_len = class.taps.len() * group_out;
        let rows = d_input.len() / (self.columns.input * self.in_channels);
        // The class's pixels: offset in d_input (in pixels), image, and its row and column in padded maps.
        scratch.pixels.clear();
        let first_column = first_of_residue(&self.columns, class.residues[1]);
        for row in 0..rows {
            let (image, y) = ((first_row + row) / self.rows.input, (first_row + row) % self.rows.input);
            let padded_y = y + self.rows.pad_before;
            if padded_y % self.rows.stride == class.residues[0] {
                for x in (first_column..self.columns.input).step_by(self.columns.stride) {
                    let at = row * self.columns.input + x;
                    scratch.pixels.push(ClassPixel { at, image, padded: [padded_y, x + self.columns.pad_before] });
                }
            }
        }
        let strip = (SCRATCH_ELEMENTS / patch_len).max(MIN_STRIP_PIXELS);
        for pixels in scratch.pixels.chunks(strip) {
            scratch.patches.resize(pixels.len() * patch_len, F::zero());
            scratch.product.resize(pixels.len() * group_in, F::zero());
            for (group, packed) in class.packed.chunks_exact(patch_len * group_in).enumerate() {
                self.gather_gradients(class, d_output, pixels, group, &mut scratch.patches);
                // product [pixels × in] = patches [pixels × patch] · packed [patch × in]
                let dims = [pixels.len(), group_in, patch_len];
                let (patches, packed) = ((&scratch.patches[..], Op::Plain), (packed, Op::Plain));
                gemm(dims, F::one(), patches, packed, F::zero(), &mut scratch.product);
                for (pixel, product) in pixels.iter().zip(scratch.product.chunks_exact(group_in)) {
                    add(&mut d_input[pixel.at * self.in_channels + group * group_in..][..group_in], product);
                }
            }
        }
    }

    /// The gradients of the outputs that see each pixel of a class, by the class's taps; nought where there is none.
    fn gather_gradients<F: Scalar>(
        &self,
        class: &Class<F>,
        d_output: &[F],
        pixels: &[ClassPixel],
        group: usize,
        patches: &mut [F],
    ) {
        let group_out = self.group_out();
        let mut places = patches.chunks_exact_mut(group_out);
        for pixel in pixels {
            for (&tap, place) in class.taps.iter().zip(&mut places) {
                let output_under = |axis: &Axis, padded: usize, tap: usize| {
                    let start = padded.checked_sub(tap * axis.dilation)?;
                    Some(start / axis.stride).filter(|&o| o < axis.output)
                };
                let oy = output_under(&self.rows, pixel.padded[0], tap[0]);
                match oy.zip(output_under(&self.columns, pixel.padded[1], tap[1])) {
                    Some((oy, ox)) => {
                        let output = (pixel.image * self.rows.output + oy) * self.columns.output + ox;
                        let from = output * self.out_channels + group * group_out;
                        place.copy_from_slice(&d_output[from..from + group_out]);
                    }
                    None => place.fill(F::zero()),
                }
            }
        }
    }

    /// Adds the gradient of OIHW weights.
    pub fn add_weight_gradient<F: Scalar>(&self, input: &[F], d_output: &[F], d_weight: &mut [F]) {
        let (patch_len, group_out) = (self.patch_len(), self.group_out());
        // One matrix [patch × out] a group, as `pack` makes them.
        let mut packed = vec![F::zero(); self.groups * patch_len * group_out];
        let rows_a_task = if self.groups == 1 { GRADIENT_ROWS } else { patch_len };
        parallel::for_each_chunk_mut(&mut packed, rows_a_task * group_out, |task, packed| {
            let (group, first) = (task * rows_a_task / patch_len, task * rows_a_task % patch_len);
            let part = first..first + packed.len() / group_out;
            self.weight_gradient_rows(input, d_output, group, part, packed);
        });
        let mut packed = packed.into_iter();
        for group in 0..self.groups {
            for tap in 0..self.taps() {
                for i in 0..self.group_in() {
                    for (o, gradient) in packed.by_ref().take(group_out).enumerate() {
                        d_weight[self.weight_index(group, tap, i, o)] += gradient;
                    }
                }
            }
        }
    }

    /// Rows `part` of a group's packed weight gradient.
    fn weight_gradient_rows<F: Scalar>(
        &self,
        input: &[F],
        d_output: &[F],
        group: usize,
        part: Range<usize>,
        packed: &mut [F],
    ) {
        let group_out = self.group_out();
        let strip = (SCRATCH_ELEMENTS / part.len().max(group_out)).max(MIN_STRIP_PIXELS).min(self.output_pixels());
        let mut patches = vec![F::zero(); strip * part.len()];
        let mut gradients = vec![F::zero(); if self.groups > 1 { strip * group_out } else { 0 }];
        for first in (0..self.output_pixels()).step_by(strip) {
            let pixels = strip.min(self.output_pixels() - first);
            let patches = &mut patches[..pixels * part.len()];
            self.gather(input, first, group, &part, patches);
            let of_strip = &d_output[first * self.out_channels..][..pixels * self.out_channels];
            let d_output = if self.groups == 1 {
                of_strip
            } else {
                let of_group = of_strip.chunks_exact(self.out_channels).zip(gradients.chunks_exact_mut(group_out));
                of_group.for_each(|(from, to)| to.copy_from_slice(&from[group * group_out..][..group_out]));
                &gradients[..pixels * group_out]
            };
            // packed [part × out] += patches [pixels × part]ᵀ · d_output [pixels × out]
            let dims = [part.len(), group_out, pixels];
            gemm(dims, F::one(), (patches, Op::Transposed), (d_output, Op::Plain), F::one(), packed);
        }
    }
}

/// Input pixels whose place in padded maps has the same residues by the stride.
struct Class<F> {
    residues: [usize; 2],
    /// The `[vertical, horizontal]` taps that fall on them.
    taps: Vec<[usize; 2]>,
    /// `[group, tap, out, in]`.
    packed: Vec<F>,
}

struct ClassPixel {
    at: usize,
    image: usize,
    padded: [usize; 2],
}

#[derive(Default)]
struct Scratch<F> {
    pixels: Vec<ClassPixel>,
    patches: Vec<F>,
    product: Vec<F>,
}

/// The first input index whose place in the padded input has a residue by the stride.
fn first_of_residue(axis: &Axis, residue: usize) -> usize {
    (residue + axis.stride - axis.pad_before % axis.stride) % axis.stride
}

fn add<F: Scalar>(sum: &mut [F], term: &[F]) {
    for (sum, term) in sum.iter_mut().zip(term) {
        *sum += *term;
    }
}
