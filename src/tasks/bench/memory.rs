//! The peak of the process's resident memory, where the system tells (Linux).

/// Starts a new peak: the memory in use now. `None` where that cannot be done, and a peak would mix measurements.
pub fn reset_peak() -> Option<()> {
    // proc(5): writing 5 sets the peak resident set size ("high water mark") to its current value.
    std::fs::write("/proc/self/clear_refs", "5").ok()
}

/// Peak resident memory in bytes since [`reset_peak`].
pub fn peak_bytes() -> Option<u64> {
    peak_bytes_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// From the line of `VmHWM:`, such as 1700 kB, where a kB is 1,024 bytes.
fn peak_bytes_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_water_mark_is_read() {
        assert_eq!(peak_bytes_in("Name:\tx\nVmHWM:\t    1700 kB\nVmRSS:\t 5 kB\n"), Some(1700 * 1024));
        assert_eq!(peak_bytes_in("VmRSS:\t 5 kB\n"), None);
        assert_eq!(peak_bytes_in("VmHWM:\t 5 pages\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_peak_covers_what_was_touched_since() {
        const BYTES: usize = 64 << 20;
        if reset_peak().is_none() {
            eprintln!("skipped: this system does not let a process reset its peak of memory");
            return;
        }
        drop(std::hint::black_box(vec![1u8; BYTES]));
        let peak = peak_bytes().unwrap();
        // The kernel counts pages in batches, hence the slack.
        assert!(peak >= BYTES as u64 - (1 << 20), "{peak}");
    }
}
