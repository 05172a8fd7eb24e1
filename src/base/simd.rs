//! Sixteen lanes of `f32` in the instruction set that this machine has, chosen once.
//!
//! A kernel is written once, generic over [`Lanes`], as an `#[inline(always)]` function, and instantiated inside a
//! `#[target_feature]` function for each [`Level`]; see `nn::ops::conv::tile` for the pattern.

use std::sync::OnceLock;

/// The instruction sets that kernels are instantiated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Plain Rust, vectorized by the compiler for its baseline target: SSE2 on x86-64, NEON on 64-bit ARM.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 F.
    Avx512,
}

impl Level {
    /// All levels that this machine can run, the best last.
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut))]
        let mut levels = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                levels.push(Self::Avx2);
                if is_x86_feature_detected!("avx512f") {
                    levels.push(Self::Avx512);
                }
            }
        }
        levels
    }

    /// The level in use: the best available, or the one that the environment variable `ONEIRIC_SIMD` names
    /// (`portable`, `avx2`, `avx512`). One that cannot be used counts as not named; see [`Level::requested`].
    pub fn active() -> Self {
        static ACTIVE: OnceLock<Level> = OnceLock::new();
        *ACTIVE.get_or_init(|| Self::requested().ok().flatten().unwrap_or(Self::best()))
    }

    /// The level that `ONEIRIC_SIMD` names; an error if this machine has none of that name.
    pub fn requested() -> Result<Option<Self>, UnknownLevel> {
        let named = std::env::var_os("ONEIRIC_SIMD").unwrap_or_default();
        Self::named(&named.to_string_lossy())
    }

    fn named(name: &str) -> Result<Option<Self>, UnknownLevel> {
        if name.is_empty() {
            return Ok(None);
        }
        let level = Self::available().into_iter().find(|level| level.name() == name);
        level.map(Some).ok_or_else(|| UnknownLevel { name: name.to_string() })
    }

    fn best() -> Self {
        Self::available().into_iter().max().unwrap_or(Self::Portable)
    }

    /// The name, and what it means on this machine where that does not tell.
    pub fn description(self) -> &'static str {
        match self {
            Self::Portable if cfg!(target_arch = "aarch64") => "portable (NEON)",
            Self::Portable if cfg!(target_arch = "x86_64") => "portable (SSE2)",
            level => level.name(),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

/// Hints that the cache line at `place` will be read soon. Any address is allowed.
#[inline(always)]
pub fn prefetch(place: *const f32) {
    // SAFETY: a hint, which never faults; part of SSE, the baseline.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(place.cast())
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Hints that the cache line at `place` will be read before long: it comes to the second-level cache. Any address is
/// allowed.
#[inline(always)]
pub fn prefetch_early(place: *const f32) {
    // SAFETY: a hint, which never faults; part of SSE, the baseline.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(place.cast())
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Hints that the cache line at `place` will be written soon. Any address is allowed.
#[inline(always)]
pub fn prefetch_to_write(place: *mut f32) {
    // SAFETY: a hint, which never faults; processors without it do nothing.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_ET0 }>(place.cast())
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// `ONEIRIC_SIMD` names what this machine does not have.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("ONEIRIC_SIMD is `{name}`, but this machine has {}; name one of them, or leave it unset", level_names())]
pub struct UnknownLevel {
    name: String,
}

fn level_names() -> String {
    Level::available().into_iter().map(Level::name).collect::<Vec<_>>().join(", ")
}

/// The number of lanes of every [`Lanes`] vector.
pub const LANES: usize = 16;

/// Operations on 16 lanes of `f32`.
///
/// # Safety
/// All functions may be called only where the instruction set is available, and pointers must be valid for the lanes
/// that are read or written.
#[allow(clippy::missing_safety_doc)] // Said above, once for all.
pub unsafe trait Lanes: Copy {
    /// Whether `mul_add` rounds once.
    const FUSED: bool;
    /// The tile of sums, rows × vectors, that fits into the registers of a matrix product along with its operands.
    const TILE_ROWS: usize;
    const TILE_VECTORS: usize;
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// self · factor + term.
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn max(self, other: Self) -> Self;
    unsafe fn min(self, other: Self) -> Self;
    /// Bit `i` tells whether lane `i` is greater than the other's.
    unsafe fn bits_above(self, other: Self) -> u16;
    /// Bit `i` tells whether lane `i` is strictly between the bounds.
    unsafe fn bits_between(self, low: Self, high: Self) -> u16;
    /// Keeps the lanes whose bit is set and clears the others.
    unsafe fn keep(self, bits: u16) -> Self;

    /// The first `count` ≤ 16 lanes from memory, nought in the others.
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        unsafe {
            if count == LANES {
                return Self::load(from);
            }
            let mut lanes = [0.0f32; LANES];
            std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count);
            Self::load(lanes.as_ptr())
        }
    }

    /// Writes the first `count` ≤ 16 lanes.
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        unsafe {
            if count == LANES {
                return self.store(to);
            }
            let mut lanes = [0.0f32; LANES];
            self.store(lanes.as_mut_ptr());
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count);
        }
    }
}

/// [`Level::Portable`].
#[derive(Clone, Copy)]
pub struct PortableLanes([f32; LANES]);

// SAFETY: plain loops over an array; loads and stores are unaligned copies of 16 floats.
#[allow(clippy::needless_range_loop)] // Lanes are indices.
unsafe impl Lanes for PortableLanes {
    const FUSED: bool = false;
    const TILE_ROWS: usize = 4;
    const TILE_VECTORS: usize = 1;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; LANES])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { from.cast::<[f32; LANES]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, mut term: Self) -> Self {
        for i in 0..LANES {
            term.0[i] += self.0[i] * factor.0[i];
        }
        term
    }
    #[inline(always)]
    unsafe fn add(mut self, other: Self) -> Self {
        for i in 0..LANES {
            self.0[i] += other.0[i];
        }
        self
    }
    #[inline(always)]
    unsafe fn sub(mut self, other: Self) -> Self {
        for i in 0..LANES {
            self.0[i] -= other.0[i];
        }
        self
    }
    #[inline(always)]
    unsafe fn mul(mut self, other: Self) -> Self {
        for i in 0..LANES {
            self.0[i] *= other.0[i];
        }
        self
    }
    #[inline(always)]
    unsafe fn max(mut self, other: Self) -> Self {
        for i in 0..LANES {
            self.0[i] = if self.0[i] > other.0[i] { self.0[i] } else { other.0[i] };
        }
        self
    }
    #[inline(always)]
    unsafe fn min(mut self, other: Self) -> Self {
        for i in 0..LANES {
            self.0[i] = if self.0[i] < other.0[i] { self.0[i] } else { other.0[i] };
        }
        self
    }
    #[inline(always)]
    unsafe fn bits_above(self, other: Self) -> u16 {
        let mut bits = 0;
        for i in 0..LANES {
            bits |= u16::from(self.0[i] > other.0[i]) << i;
        }
        bits
    }
    #[inline(always)]
    unsafe fn bits_between(self, low: Self, high: Self) -> u16 {
        let mut bits = 0;
        for i in 0..LANES {
            bits |= u16::from(self.0[i] > low.0[i] && self.0[i] < high.0[i]) << i;
        }
        bits
    }
    #[inline(always)]
    unsafe fn keep(mut self, bits: u16) -> Self {
        for i in 0..LANES {
            self.0[i] = if bits >> i & 1 == 1 { self.0[i] } else { 0.0 };
        }
        self
    }
}

#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2Lanes, Avx512Lanes};

/// Instantiates a kernel that is generic over [`Lanes`] for every [`Level`]: `fn name(level) -> unsafe fn(arguments)`.
/// The kernel must be `#[inline(always)]`; the pointer may be called only where the level is available.
macro_rules! for_each_level {
    ($(#[$doc:meta])* $vis:vis fn $name:ident = $kernel:ident($($argument:ident: $type:ty),*)) => {
        $(#[$doc])*
        $vis fn $name(level: $crate::base::simd::Level) -> unsafe fn($($type),*) {
            unsafe fn portable($($argument: $type),*) {
                unsafe { $kernel::<$crate::base::simd::PortableLanes>($($argument),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2($($argument: $type),*) {
                unsafe { $kernel::<$crate::base::simd::Avx2Lanes>($($argument),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            unsafe fn avx512($($argument: $type),*) {
                unsafe { $kernel::<$crate::base::simd::Avx512Lanes>($($argument),*) }
            }
            match level {
                $crate::base::simd::Level::Portable => portable,
                #[cfg(target_arch = "x86_64")]
                $crate::base::simd::Level::Avx2 => avx2,
                #[cfg(target_arch = "x86_64")]
                $crate::base::simd::Level::Avx512 => avx512,
                #[cfg(not(target_arch = "x86_64"))]
                _ => portable,
            }
        }
    };
}
pub(crate) use for_each_level;

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation on fixed data, as one long vector.
    #[inline(always)]
    unsafe fn exercise<L: Lanes>(out: &mut Vec<f32>) {
        let a: Vec<f32> = (0..LANES).map(|i| i as f32 - 7.5).collect();
        let b: Vec<f32> = (0..LANES).map(|i| (i * i) as f32 * 0.25 - 9.0).collect();
        unsafe {
            let (x, y, z) = (L::load(a.as_ptr()), L::load(b.as_ptr()), L::splat(2.0));
            let bits = x.bits_between(L::splat(-3.5), L::splat(4.0));
            let first = L::load_first(a.as_ptr(), 5);
            let results = [x.mul_add(y, z), x.add(y), x.sub(y), x.mul(y), x.max(y), x.min(y), x.keep(bits), first];
            for result in results {
                let mut lanes = [9.0f32; LANES];
                result.store(lanes.as_mut_ptr());
                out.extend(lanes);
                let mut lanes = [9.0f32; LANES];
                result.store_first(lanes.as_mut_ptr(), 11);
                out.extend(lanes);
            }
            out.push(f32::from(x.bits_above(y)));
            out.push(f32::from(bits));
        }
    }

    for_each_level!(fn exercise_fn = exercise(out: &mut Vec<f32>));

    #[test]
    fn all_levels_compute_the_same() {
        let run = |level| {
            let mut out = Vec::new();
            // SAFETY: only available levels are asked for.
            unsafe { exercise_fn(level)(&mut out) };
            out
        };
        let portable = run(Level::Portable);
        assert_eq!(portable[portable.len() - 1], f32::from(0b0000_1111_1110_0000u16));
        for level in Level::available() {
            assert_eq!(run(level), portable, "{level:?}");
        }
    }

    #[test]
    fn levels_go_by_name() {
        assert_eq!(Level::named(""), Ok(None));
        for level in Level::available() {
            assert_eq!(Level::named(level.name()), Ok(Some(level)));
        }
        let error = Level::named("sse9").unwrap_err().to_string();
        assert!(error.starts_with("ONEIRIC_SIMD is `sse9`, but this machine has portable"), "{error}");
        assert!(Level::available().contains(&Level::active()));
    }
}
