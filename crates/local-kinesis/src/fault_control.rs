//! The faults that are on, and switching them.

use std::time::Duration;

use crate::Fault;

/// A fault that was set; it is never given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(pub u64);

/// A fault that is on.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveFault {
    /// For [`FaultControl::clear`].
    pub id: FaultId,
    /// The fault as it was set.
    pub fault: Fault,
    /// Until it clears itself; none: it stays.
    pub remaining: Option<Duration>,
    /// How many requests or records it has struck.
    pub hits: u64,
}

/// Switches faults on and off while the endpoint runs. Cheap to clone; all clones act on the same endpoint.
#[derive(Debug, Clone)]
pub struct FaultControl {}

impl FaultControl {
    /// Adds a fault to those that are on.
    pub fn set(&self, _fault: Fault) -> FaultId {
        todo!()
    }

    /// Takes one away; false if it was not on any more.
    pub fn clear(&self, _id: FaultId) -> bool {
        todo!()
    }

    /// Takes all away; the endpoint behaves again. Gives how many there were.
    pub fn clear_all(&self) -> usize {
        todo!()
    }

    /// The faults that are on, in the order in which they were set.
    #[must_use]
    pub fn active(&self) -> Vec<ActiveFault> {
        todo!()
    }
}
