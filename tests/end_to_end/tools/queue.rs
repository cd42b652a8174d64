//! `millpond queue`: looking, mending, emptying.
