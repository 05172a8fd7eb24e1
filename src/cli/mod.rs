//! The command line: arguments to specs, progress bars, exit codes.
