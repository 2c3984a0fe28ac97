//! The worker loop: takes frames from a stage's queue, plans, and commits what comes of it.

mod lanes;
mod leases;
mod stage;
mod step;

pub(crate) use self::leases::Leases;
pub use self::stage::StageWorker;
