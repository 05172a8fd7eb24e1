//! Arrays of numbers: `BlobProto`, of weights and of mean images.

use std::sync::Arc;

use crate::formats::ImportError;
use crate::formats::wire::{Fields, Wire, varint};

/// An array, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Blob {
    pub shape: Vec<usize>,
    pub data: Arc<[f32]>,
}

/// Caffe allows 32.
const MAX_AXES: usize = 32;

/// Where the numbers of a `BlobProto` lie in its bytes, and its shape.
#[derive(Default)]
struct Parts<'a> {
    legacy: [Option<u64>; 4],
    shape: Option<Vec<u64>>,
    singles: Vec<&'a [u8]>,
    doubles: Vec<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut parts = Self::default();
        for field in Fields::new(bytes) {
            match field.map_err(|error| error.to_string())? {
                (number @ 1..=4, Wire::Varint(dim)) => parts.legacy[number as usize - 1] = Some(dim),
                (5, Wire::Bytes(data)) => parts.singles.push(data),
                (8, Wire::Bytes(data)) => parts.doubles.push(data),
                (7, Wire::Bytes(shape)) => parts.shape = Some(dims(shape)?),
                // Gradients: `diff` and `double_diff`.
                (6 | 9, _) => {}
                (5 | 8, _) => return Err("its numbers are not stored packed".into()),
                (number, _) => return Err(format!("it has a field {number}, which blobs do not have")),
            }
        }
        Ok(parts)
    }

    fn shape(&self) -> Result<Vec<usize>, String> {
        let dims = match &self.shape {
            Some(dims) => dims.clone(),
            None if self.legacy == [None; 4] => return Err("it has no shape".into()),
            None => self.legacy.iter().map(|dim| dim.unwrap_or(0)).collect(),
        };
        let dims: Option<Vec<usize>> = dims.into_iter().map(|dim| usize::try_from(dim).ok()).collect();
        dims.ok_or_else(|| "it has a dimension beyond any machine".into())
    }

    fn count(&self) -> Result<usize, String> {
        let bytes = |runs: &[&[u8]]| runs.iter().map(|run| run.len()).sum::<usize>();
        let (singles, doubles) = (bytes(&self.singles), bytes(&self.doubles));
        if singles % 4 != 0 || doubles % 8 != 0 {
            return Err("its data ends within a number".into());
        }
        if singles > 0 && doubles > 0 {
            return Err("it has single and double precision data at once".into());
        }
        Ok(singles / 4 + doubles / 8)
    }
}

fn dims(mut bytes: &[u8]) -> Result<Vec<u64>, String> {
    let mut dims = Vec::new();
    let mut push = |dim| {
        dims.push(dim);
        if dims.len() > MAX_AXES { Err(format!("it has more than {MAX_AXES} axes")) } else { Ok(()) }
    };
    let reason = |error: ImportError| error.to_string();
    while !bytes.is_empty() {
        match varint(&mut bytes).map_err(reason)? {
            // Field 1, packed or not.
            0x08 => push(varint(&mut bytes).map_err(reason)?)?,
            0x0a => {
                let len = varint(&mut bytes).map_err(reason)?;
                let packed = usize::try_from(len).ok().and_then(|len| bytes.split_at_checked(len));
                let Some((mut packed, rest)) = packed else { return Err("its shape is cut short".into()) };
                bytes = rest;
                while !packed.is_empty() {
                    push(varint(&mut packed).map_err(reason)?)?;
                }
            }
            _ => return Err("its shape is damaged".into()),
        }
    }
    Ok(dims)
}

impl Blob {
    /// Reads a `BlobProto` of either layout; the error is the reason.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let parts = Parts::read(bytes)?;
        let count = parts.count()?;
        let shape = parts.shape()?;
        Self::expect_count(&shape, count)?;
        let single = |bits: &[u8; 4]| f32::from_le_bytes(*bits);
        let data = match *parts.singles {
            // The usual case, which needs no second copy.
            [run] if parts.doubles.is_empty() => run.as_chunks().0.iter().map(single).collect(),
            _ if parts.doubles.is_empty() => {
                parts.singles.iter().flat_map(|run| run.as_chunks().0).map(single).collect()
            }
            _ => {
                let doubles = parts.doubles.iter().flat_map(|run| run.as_chunks().0);
                doubles.map(|bits| f64::from_le_bytes(*bits) as f32).collect()
            }
        };
        Ok(Self { shape, data })
    }

    /// Checks that a shape holds as many numbers as there are.
    pub fn expect_count(shape: &[usize], count: usize) -> Result<(), String> {
        let expected = shape.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
        if expected == Some(count) {
            return Ok(());
        }
        let shown: Vec<String> = shape.iter().take(8).map(usize::to_string).collect();
        Err(format!("its shape is {}, but it has {count} numbers", shown.join("×")))
    }

    /// The shape without axes of length 1.
    fn essential(shape: &[usize]) -> Vec<usize> {
        shape.iter().copied().filter(|&dim| dim != 1).collect()
    }

    /// The numbers, if the blob can be read as an array of that shape: as many numbers, and not with axes exchanged.
    pub fn of_shape(&self, shape: &[usize]) -> Result<Arc<[f32]>, String> {
        let told = |shape: &[usize]| shape.iter().take(8).map(usize::to_string).collect::<Vec<_>>().join("×");
        let needed = shape.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
        let (mine, theirs) = (Self::essential(&self.shape), Self::essential(shape));
        let exchanged = mine != theirs && {
            let sorted = |mut dims: Vec<usize>| {
                dims.sort_unstable();
                dims
            };
            sorted(mine) == sorted(theirs)
        };
        if needed != Some(self.data.len()) || exchanged {
            return Err(format!("should be {}, but is {}", told(shape), told(&self.shape)));
        }
        Ok(self.data.clone())
    }
}

/// A mean image: the mean of each channel, and its size in pixels.
#[derive(Debug, PartialEq)]
pub struct MeanImage {
    pub channels: Vec<f32>,
    /// `[height, width]`.
    pub size: [usize; 2],
}

impl MeanImage {
    /// Reads a `.binaryproto`.
    pub fn read(bytes: &[u8]) -> Result<Self, ImportError> {
        let wrong = |reason: String| ImportError::field("mean", format!("the mean image cannot be read: {reason}"));
        let blob = Blob::read(bytes).map_err(wrong)?;
        let (channels, size) = match *blob.shape {
            [1, channels, height, width] | [channels, height, width] => (channels, [height, width]),
            _ => return Err(wrong("it is not one picture of channels × height × width".into())),
        };
        let pixels = size[0].checked_mul(size[1]).filter(|&pixels| pixels > 0 && channels > 0);
        let Some(pixels) = pixels else { return Err(wrong("it is empty".into())) };
        let mean = |plane: &[f32]| {
            let sum: f64 = plane.iter().map(|&value| f64::from(value)).sum();
            (sum / pixels as f64) as f32
        };
        let channels: Vec<f32> = blob.data.chunks_exact(pixels).map(mean).collect();
        if channels.iter().any(|mean| !mean.is_finite()) {
            return Err(wrong("it has numbers that are not finite".into()));
        }
        Ok(Self { channels, size })
    }

    /// Whether bytes are one picture of few channels in a `BlobProto`.
    pub fn fits(bytes: &[u8]) -> bool {
        let Ok(parts) = Parts::read(bytes) else { return false };
        let (Ok(count), Ok(shape)) = (parts.count(), parts.shape()) else { return false };
        let picture = matches!(*shape, [1, 1 | 3 | 4, _, _] | [1 | 3 | 4, _, _]);
        count > 0 && picture && Blob::expect_count(&shape, count).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(field: u8, numbers: &[f32]) -> Vec<u8> {
        let mut bytes = vec![field << 3 | 2, (numbers.len() * 4) as u8];
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        bytes
    }

    #[test]
    fn both_layouts_and_both_precisions_are_read() {
        let mut legacy = b"\x08\x01\x10\x01\x18\x02\x20\x03".to_vec();
        legacy.extend(packed(5, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        let blob = Blob::read(&legacy).unwrap();
        assert_eq!((&*blob.shape, &*blob.data), (&[1, 1, 2, 3][..], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0][..]));
        assert!(blob.of_shape(&[6]).is_ok() && blob.of_shape(&[2, 3]).is_ok());
        assert_eq!(blob.of_shape(&[3, 2]).unwrap_err(), "should be 3×2, but is 1×1×2×3");
        assert!(blob.of_shape(&[7]).is_err());

        let mut double = b"\x3a\x03\x0a\x01\x02\x42\x10".to_vec();
        double.extend([0.5f64, -2.0].iter().flat_map(|number| number.to_le_bytes()));
        let blob = Blob::read(&double).unwrap();
        assert_eq!((&*blob.shape, &*blob.data), (&[2][..], &[0.5, -2.0][..]));
    }

    #[test]
    fn a_shape_that_lies_is_refused_before_anything_is_allocated() {
        for dims in [&b"\x0a\x01\x03"[..], b"\x0a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x0a\x7f"] {
            let mut bytes = vec![0x3a, dims.len() as u8];
            bytes.extend(dims);
            bytes.extend(packed(5, &[1.0]));
            assert!(Blob::read(&bytes).is_err());
        }
        assert!(Blob::read(&packed(5, &[1.0])).unwrap_err().contains("no shape"));
        assert!(Blob::read(b"\x3a\x00\x2a\x03abc").unwrap_err().contains("ends within a number"));
    }

    #[test]
    fn a_mean_image_is_averaged_channel_by_channel() {
        let mut bytes = b"\x08\x01\x10\x03\x18\x01\x20\x02".to_vec();
        bytes.extend(packed(5, &[1.0, 2.0, 3.0, 5.0, 100.0, 102.0]));
        assert!(MeanImage::fits(&bytes));
        assert_eq!(MeanImage::read(&bytes), Ok(MeanImage { channels: vec![1.5, 4.0, 101.0], size: [1, 2] }));
        assert!(!MeanImage::fits(b"") && !MeanImage::fits(b"\x08\x01"));
    }
}
