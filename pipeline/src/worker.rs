//! The worker loop: takes frames from a stage's queue, plans, and commits what comes of it.

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

pub(crate) use self::{leases::Leases, trouble::QueueTrouble};
pub use self::{
    stage::StageWorker,
    ticks::{TickOptions, Ticker},
};
