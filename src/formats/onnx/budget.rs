//! How much may be computed and kept while reading, so that a small file cannot ask for endless work.

use std::collections::HashMap;

use super::super::MAX_FILE_BYTES;

/// Numbers that may be computed whatever the files' sizes are.
const SPARE_NUMBERS: usize = 1 << 25;
/// Numbers for each byte of the files: weights of 8 bits are widened, scaled, transposed and handed to the net.
const NUMBERS_PER_BYTE: usize = 4;

/// What is left of it.
pub struct Budget {
    /// Numbers to compute.
    numbers: usize,
    /// Bytes that the arrays of the files may still take in memory.
    memory: u64,
    /// By name, the other files that arrays were read from.
    files: HashMap<String, Extent>,
}

/// What is known of another file.
#[derive(Default)]
struct Extent {
    /// The bytes read, those read twice counted twice.
    read: u64,
    /// The end of what was read.
    end: u64,
}

impl Extent {
    /// The most bytes that the file can have given.
    fn bytes(&self) -> u64 {
        self.read.min(self.end)
    }
}

impl Budget {
    /// For a model of so many bytes.
    pub fn new(model_bytes: usize) -> Self {
        let numbers = model_bytes.saturating_mul(NUMBERS_PER_BYTE).saturating_add(SPARE_NUMBERS);
        Self { numbers, memory: MAX_FILE_BYTES, files: HashMap::new() }
    }

    /// Takes numbers that are computed; `None` if they are too many.
    pub fn compute(&mut self, numbers: usize) -> Option<()> {
        self.numbers = self.numbers.checked_sub(numbers)?;
        Some(())
    }

    /// Takes the memory of an array of the files; `None` if there is not enough left.
    pub fn keep(&mut self, bytes: u64) -> Option<()> {
        self.memory = self.memory.checked_sub(bytes)?;
        Some(())
    }

    /// Counts a part of another file among the files' bytes; parts that are read again count once.
    pub fn count(&mut self, file: &str, offset: u64, bytes: u64) {
        let extent = self.files.entry(file.to_string()).or_default();
        let before = extent.bytes();
        extent.read = extent.read.saturating_add(bytes);
        extent.end = extent.end.max(offset.saturating_add(bytes));
        let new = usize::try_from(extent.bytes() - before).unwrap_or(usize::MAX);
        self.numbers = self.numbers.saturating_add(new.saturating_mul(NUMBERS_PER_BYTE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of which file, from where on, how many bytes.
    type Read = (&'static str, u64, u64);

    #[test]
    fn files_count_once_wherever_they_are_read() {
        let numbers = |reads: &[Read]| {
            let mut budget = Budget::new(10);
            reads.iter().for_each(|&(file, offset, bytes)| budget.count(file, offset, bytes));
            (budget.numbers - SPARE_NUMBERS) / NUMBERS_PER_BYTE - 10
        };
        let cases: [(&[Read], usize); 5] = [
            (&[("a", 0, 100), ("a", 100, 50)], 150),
            (&[("a", 100, 50), ("a", 0, 100)], 150),
            (&[("a", 0, 100), ("b", 0, 100)], 200),
            (&[("a", 0, 100), ("a", 0, 100), ("a", 0, 100), ("a", 1, 100)], 101),
            // One byte at the far end of a file says nothing of those before it.
            (&[("a", u64::MAX - 1, 1)], 1),
        ];
        for (reads, expected) in cases {
            assert_eq!(numbers(reads), expected, "{reads:?}");
        }
        let mut budget = Budget::new(0);
        assert!(budget.keep(MAX_FILE_BYTES).is_some() && budget.keep(1).is_none());
        assert!(budget.compute(SPARE_NUMBERS).is_some() && budget.compute(1).is_none());
    }
}
