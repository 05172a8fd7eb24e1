//! Maps in the arena as kernels see them: possibly a range of channels of wider maps.

/// Where a kernel reads pixels.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The first channel of the first pixel.
    pub data: *const f32,
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    /// Floats from one pixel to the next.
    pub pixel_stride: usize,
}

/// Where a kernel writes pixels, and what it does to the sums before.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub data: *mut f32,
    pub height: usize,
    pub width: usize,
    pub pixel_stride: usize,
    pub finish: Finish,
}

/// The epilogue. Pixel `p` of the target adds pixel `p` of `add`, and uses `mask_stride` 16-channel groups of mask
/// bits from `p · mask_stride` on.
#[derive(Clone, Copy, Debug)]
pub struct Finish {
    /// One value a channel, or null.
    pub bias: *const f32,
    /// Maps to add (a residual, or the gradient so far), or null. May be the target itself.
    pub add: *const f32,
    pub add_stride: usize,
    pub activation: FusedActivation,
}

/// What happens to a value last.
#[derive(Clone, Copy, Debug)]
pub enum FusedActivation {
    None,
    /// min(max(y, low), high); leaves in `bits` whether y was strictly between, unless that is null.
    Clamp {
        low: f32,
        high: f32,
        bits: *mut u16,
        bits_stride: usize,
    },
    /// The gradient passes where `bits` is set (unless that is null) and, if asked for, where it is positive.
    Gate {
        bits: *const u16,
        bits_stride: usize,
        positive_only: bool,
    },
}

impl Finish {
    pub const NONE: Self =
        Self { bias: std::ptr::null(), add: std::ptr::null(), add_stride: 0, activation: FusedActivation::None };
}

// SAFETY: plain descriptions of memory; the kernels that dereference them state what their callers must hold to.
unsafe impl Sync for Source {}
unsafe impl Send for Source {}
unsafe impl Sync for Target {}
unsafe impl Send for Target {}

impl Source {
    /// One image of the batch.
    pub fn image(mut self, image: usize) -> Self {
        self.data = self.data.wrapping_add(image * self.height * self.width * self.pixel_stride);
        self.batch = 1;
        self
    }

    /// The same maps from a later channel on.
    pub fn from_channel(mut self, channel: usize) -> Self {
        self.data = self.data.wrapping_add(channel);
        self
    }
}

impl Target {
    /// One image of the batch.
    pub fn image(mut self, image: usize) -> Self {
        let pixels = image * self.height * self.width;
        self.data = self.data.wrapping_add(pixels * self.pixel_stride);
        let finish = &mut self.finish;
        if !finish.add.is_null() {
            finish.add = finish.add.wrapping_add(pixels * finish.add_stride);
        }
        match &mut finish.activation {
            FusedActivation::Clamp { bits, bits_stride, .. } if !bits.is_null() => {
                *bits = bits.wrapping_add(pixels * *bits_stride);
            }
            FusedActivation::Gate { bits, bits_stride, .. } if !bits.is_null() => {
                *bits = bits.wrapping_add(pixels * *bits_stride);
            }
            _ => {}
        }
        self
    }

    /// Without keeping mask bits.
    pub fn silent(mut self) -> Self {
        if let FusedActivation::Clamp { bits, .. } = &mut self.finish.activation {
            *bits = std::ptr::null_mut();
        }
        self
    }

    /// The same maps from a later channel on; with mask bits, a multiple of 16.
    pub fn from_channel(mut self, channel: usize) -> Self {
        let shift = |pointer: *const f32| if pointer.is_null() { pointer } else { pointer.wrapping_add(channel) };
        self.data = self.data.wrapping_add(channel);
        self.finish.bias = shift(self.finish.bias);
        self.finish.add = shift(self.finish.add);
        let group = channel / crate::base::simd::LANES;
        match &mut self.finish.activation {
            FusedActivation::Clamp { bits, .. } if !bits.is_null() => *bits = bits.wrapping_add(group),
            FusedActivation::Gate { bits, .. } if !bits.is_null() => *bits = bits.wrapping_add(group),
            _ => {}
        }
        self
    }
}
