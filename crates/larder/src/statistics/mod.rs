//! What the processes of the fleet did: counted in each process, added up in a file of the node,
//! told to the other nodes in the backend.
//!
//! - `counts` names what is counted.
//! - `node_file` is the file, in which each process has a place of its own.
//! - `report` brings a process's counts there.
//! - `record` is what a node tells the others: samples of the last hour and day.

mod counts;
mod node_file;
mod record;
mod report;

pub(crate) use self::counts::Counters;
pub use self::counts::{CacheCounts, Stats, StoreCounts};
pub(crate) use self::node_file::NodeTotals;
pub use self::record::{NodeStatistics, Sample};
pub(crate) use self::report::{Counted, Reporter};
