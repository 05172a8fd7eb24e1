//! NumPy's `.npy` files, version 1.0 (NumPy Enhancement Proposal 1 and `numpy.lib.format`).

use std::io::{self, Write};

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
/// Data begins at a multiple of this many bytes.
const ALIGNMENT: usize = 64;

/// Everything before the data: magic, version, and the dictionary that says type, order and shape.
pub fn header(shape: &[usize]) -> Vec<u8> {
    let dims: String = shape.iter().map(|dim| format!("{dim}, ")).collect();
    // A tuple of one needs its comma, others have none behind the last.
    let dims = if shape.len() == 1 { dims.trim_end() } else { dims.trim_end_matches(", ") };
    let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({dims}), }}");
    let before = MAGIC.len() + size_of::<u16>();
    let padded = (before + text.len() + 1).next_multiple_of(ALIGNMENT);
    text += &" ".repeat(padded - before - text.len() - 1);
    text.push('\n');
    let mut bytes = MAGIC.to_vec();
    // At most 8 dimensions of 20 digits: far below the 64 KiB of version 1.0.
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

/// Writes `values`, row-major (C order), as little-endian f32.
pub fn write(into: &mut dyn Write, shape: &[usize], values: &[f32]) -> io::Result<()> {
    const VALUES_AT_ONCE: usize = 1 << 14;
    into.write_all(&header(shape))?;
    let mut bytes = Vec::with_capacity(VALUES_AT_ONCE.min(values.len()) * size_of::<f32>());
    for chunk in values.chunks(VALUES_AT_ONCE) {
        bytes.clear();
        bytes.extend(chunk.iter().flat_map(|value| value.to_le_bytes()));
        into.write_all(&bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_numpys() {
        // As numpy 2.3 writes np.save(f, np.zeros((1, 3, 4, 5), "<f4")), to the byte.
        let mut expected = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        expected.extend(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 4, 5), }");
        expected.resize(127, b' ');
        expected.push(b'\n');
        assert_eq!(header(&[1, 3, 4, 5]), expected);
        for (shape, text) in [(&[][..], "()"), (&[7], "(7,)"), (&[1, 10], "(1, 10)")] {
            let header = header(shape);
            let told = String::from_utf8_lossy(&header[10..]).into_owned();
            assert!(told.contains(&format!("'shape': {text}, }}")), "{told}");
            let length = usize::from(u16::from_le_bytes([header[8], header[9]]));
            assert_eq!((header.len() % ALIGNMENT, length), (0, header.len() - 10), "{shape:?}");
        }
        let large = header(&[usize::MAX; 8]);
        assert!(large.len().is_multiple_of(ALIGNMENT) && large.ends_with(b" \n"), "{}", large.len());
    }

    #[test]
    fn values_follow_in_little_endian() {
        let values: Vec<f32> = (0..40_000).map(|i| i as f32 - 0.5).collect();
        let mut bytes = Vec::new();
        write(&mut bytes, &[2, 20_000], &values).expect("memory can be written");
        let data = &bytes[header(&[2, 20_000]).len()..];
        let read: Vec<f32> = data.as_chunks::<4>().0.iter().map(|&value| f32::from_le_bytes(value)).collect();
        assert!(read == values && data.len() == 160_000);
    }
}
