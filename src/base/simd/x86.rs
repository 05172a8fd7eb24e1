//! Sixteen lanes in the registers of x86-64.

use super::{LANES, Lanes};
use std::arch::x86_64::*;

/// [`super::Level::Avx2`]: two registers of eight lanes.
#[derive(Clone, Copy)]
pub struct Avx2Lanes(__m256, __m256);

// SAFETY: unaligned loads and stores; the caller vouches for AVX2 and FMA.
unsafe impl Lanes for Avx2Lanes {
    const FUSED: bool = true;
    const TILE_ROWS: usize = 6;
    const TILE_VECTORS: usize = 1;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        unsafe { Self(_mm256_set1_ps(value), _mm256_set1_ps(value)) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe {
            _mm256_storeu_ps(to, self.0);
            _mm256_storeu_ps(to.add(8), self.1);
        }
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        unsafe { Self(_mm256_fmadd_ps(self.0, factor.0, term.0), _mm256_fmadd_ps(self.1, factor.1, term.1)) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        unsafe { Self(_mm256_sub_ps(self.0, other.0), _mm256_sub_ps(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        unsafe { Self(_mm256_max_ps(self.0, other.0), _mm256_max_ps(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        unsafe { Self(_mm256_min_ps(self.0, other.0), _mm256_min_ps(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn bits_above(self, other: Self) -> u16 {
        unsafe {
            let above = |v, other| _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(v, other)) as u16;
            above(self.0, other.0) | above(self.1, other.1) << 8
        }
    }
    #[inline(always)]
    unsafe fn bits_between(self, low: Self, high: Self) -> u16 {
        unsafe {
            let between = |v, low, high| {
                let above = _mm256_cmp_ps::<_CMP_GT_OQ>(v, low);
                let below = _mm256_cmp_ps::<_CMP_LT_OQ>(v, high);
                _mm256_movemask_ps(_mm256_and_ps(above, below)) as u16
            };
            between(self.0, low.0, high.0) | between(self.1, low.1, high.1) << 8
        }
    }
    #[inline(always)]
    unsafe fn keep(self, bits: u16) -> Self {
        unsafe {
            let lane_bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            let keep = |v, bits: u16| {
                let set = _mm256_and_si256(_mm256_set1_epi32(i32::from(bits)), lane_bits);
                _mm256_and_ps(v, _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, lane_bits)))
            };
            Self(keep(self.0, bits), keep(self.1, bits >> 8))
        }
    }
}

/// [`super::Level::Avx512`].
#[derive(Clone, Copy)]
pub struct Avx512Lanes(__m512);

// SAFETY: unaligned loads and stores; the caller vouches for AVX-512 F.
unsafe impl Lanes for Avx512Lanes {
    const FUSED: bool = true;
    const TILE_ROWS: usize = 14;
    const TILE_VECTORS: usize = 2;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        unsafe { Self(_mm512_set1_ps(value)) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { Self(_mm512_loadu_ps(from)) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        unsafe { Self(_mm512_fmadd_ps(self.0, factor.0, term.0)) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Self(_mm512_add_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        unsafe { Self(_mm512_sub_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        unsafe { Self(_mm512_mul_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        unsafe { Self(_mm512_max_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        unsafe { Self(_mm512_min_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn bits_above(self, other: Self) -> u16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, other.0) }
    }
    #[inline(always)]
    unsafe fn bits_between(self, low: Self, high: Self) -> u16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, low.0) & _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, high.0) }
    }
    #[inline(always)]
    unsafe fn keep(self, bits: u16) -> Self {
        unsafe { Self(_mm512_maskz_mov_ps(bits, self.0)) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        unsafe { Self(_mm512_maskz_loadu_ps(first(count), from)) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        unsafe { _mm512_mask_storeu_ps(to, first(count), self.0) }
    }
}

/// The lowest `count` ≤ 16 bits.
#[inline(always)]
fn first(count: usize) -> u16 {
    debug_assert!(count <= LANES);
    ((1u32 << count) - 1) as u16
}
