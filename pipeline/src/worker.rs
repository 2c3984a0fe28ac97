//! The worker loop: takes frames from a stage's queue, plans, and commits what comes of it.

mod forgotten;
mod hop;
mod isolate;
mod lanes;
mod leases;
mod stage;
mod step;
#[cfg(test)]
mod tests;
mod ticks;
mod trouble;
mod turnstile;

pub use self::{
    forgotten::Forgotten,
    hop::{SharedHop, SharedStage},
    stage::StageWorker,
    ticks::{Flow, TickOptions, Ticker},
};
pub(crate) use self::{leases::Leases, trouble::QueueTrouble};
