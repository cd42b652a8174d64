//! The examples of `--help`, and the pages made of it.
