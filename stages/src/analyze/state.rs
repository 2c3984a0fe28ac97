//! What analyze remembers of a lane: its devices, in the order in which they came.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{
    closed::Closed,
    count::CountsEntry,
    device::{Device, Entry, Limits},
    memory::ChunkEntry,
    series::Metrics,
};
use crate::{frame::Micros, plan::StateError};

/// What lies less behind the newest of its device is not forgotten for its age, however little room there is …
const AGE_MIN: Micros = 60_000_000;
/// … and so many chunks of rows stay of each device. All but the last one span a minute or two kilobytes.
const CHUNKS_MIN: usize = 2;

/// What analyze remembers of the devices of one lane.
#[derive(Debug, Default)]
pub struct AnalyzeState {
    devices: Vec<Device>,
    slots: HashMap<String, usize>,
    metrics: Metrics,
    /// The instant of the last tick: all that was received before has been seen. Rows do not tell that: of devices that
    /// came another way some may still be on theirs.
    seen_until: Micros,
    /// About how many bytes it takes to tell repeats.
    size: usize,
    /// About how many bytes the indexes take of what was looked into; another process has others.
    indexes: usize,
    /// Rows that were forgotten for want of room, since somebody asked.
    forgotten: u64,
    /// What was forgotten for want of room since the last delta.
    cut: Option<Cut>,
    /// Where forgetting found little, it is not tried again before more than so much is taken.
    enough: usize,
}

/// The devices that a frame touched, in the order of their first row.
#[derive(Debug, Default)]
pub(super) struct Change {
    slots: Vec<usize>,
    touched: Vec<bool>,
}

impl Change {
    pub(super) fn touch(&mut self, slot: usize) {
        if self.touched.len() <= slot {
            self.touched.resize(slot + 1, false);
        }
        if !std::mem::replace(&mut self.touched[slot], true) {
            self.slots.push(slot);
        }
    }
}

impl AnalyzeState {
    pub(super) fn device_slot(&mut self, name: &str) -> usize {
        if let Some(slot) = self.slots.get(name) {
            return *slot;
        }
        let slot = self.devices.len();
        self.devices.push(Device::new(name.to_owned()));
        self.slots.insert(name.to_owned(), slot);
        slot
    }

    pub(super) fn metric_slot(&mut self, name: &str) -> usize {
        self.metrics.slot(name)
    }

    /// The device in `slot` and the names of metrics. When it was silent for longer than `limits.idle`, its windows
    /// are closed, and it is forgotten.
    pub(super) fn device(
        &mut self,
        slot: usize,
        received_at: Micros,
        limits: &Limits,
        closed: &mut Closed,
    ) -> (&mut Device, &Metrics) {
        let device = &mut self.devices[slot];
        if device.is_idle(received_at, limits) {
            device.start_anew(&self.metrics, closed);
        }
        (device, &self.metrics)
    }

    /// Lets go of all indexes where they take more than `bytes_max`: a fleet that sends an hour again would have one for each
    /// chunk, several times its size. Not before the end of a frame: where each row is looked for everywhere they would be made over and over.
    fn bound_indexes(&mut self, bytes_max: usize) {
        if self.indexes <= bytes_max {
            return;
        }
        self.devices.iter_mut().for_each(Device::drop_indexes);
        self.indexes = 0;
    }

    /// Everything that was received before `instant` has been seen: takes the clocks of silent devices on.
    pub(super) fn tick(
        &mut self,
        instant: Micros,
        limits: &Limits,
        change: &mut Change,
        closed: &mut Closed,
    ) {
        self.seen_until = self.seen_until.max(instant);
        let devices = self.devices.iter().enumerate();
        let mut due: Vec<usize> =
            devices.filter(|(_, device)| device.is_due(instant, limits)).map(|(slot, _)| slot).collect();
        // In an order that does not hang on what this process has seen of the lane.
        due.sort_unstable_by(|one, other| self.devices[*one].name.cmp(&self.devices[*other].name));
        for slot in due {
            self.devices[slot].tick(instant, limits, &self.metrics, closed);
            change.touch(slot);
        }
    }

    /// Forgets what is too old or too much, in the way of whoever reads the delta; then what changed, as bytes for
    /// [`AnalyzeState::apply`]; empty where nothing did.
    pub(super) fn delta(&mut self, change: &Change, limits: &Limits) -> Result<Vec<u8>, StateError> {
        let dedupe = limits.dedupe;
        self.forget(change, dedupe);
        self.forget_early(limits.dedupe_bytes);
        self.bound_indexes(limits.dedupe_bytes / 2);
        if change.slots.is_empty() && self.cut.is_none() {
            return Ok(Vec::new());
        }
        let cut = self.cut.take();
        self.bytes(&change.slots, false, (dedupe, cut))
    }

    /// Everything, as bytes for [`AnalyzeState::apply`] on an empty state; devices that a tick has found silent
    /// for longer than `limits.idle` are forgotten, unless they have a window that is still to be closed, and so are
    /// metrics of the others.
    pub(super) fn snapshot(&mut self, limits: &Limits) -> Result<Vec<u8>, StateError> {
        let oldest = self.seen_until.saturating_sub(limits.idle);
        self.devices.retain(|device| device.received_at >= oldest || device.has_windows());
        // The names that are still in use.
        let metrics = std::mem::take(&mut self.metrics);
        for device in &mut self.devices {
            device.tidy(limits, &metrics, &mut self.metrics);
        }
        self.cut = None;
        // What was let go of counts no more.
        self.forget_rows(|device| device.forget(Micros::MAX));
        self.size = self.devices.iter().map(Device::size).sum();
        self.indexes = self.devices.iter().map(Device::indexes).sum();
        self.slots =
            self.devices.iter().enumerate().map(|(slot, device)| (device.name.clone(), slot)).collect();
        let slots: Vec<usize> = (0..self.devices.len()).collect();
        self.bytes(&slots, true, (Micros::MAX, None))
    }

    /// The devices in `slots`, behind them their counts, then their rows as [`Rows`] has them: versions before there were
    /// these ended earlier. Written one by one, in the way of a list: entries of all at once would be as many allocations.
    fn bytes(
        &mut self,
        slots: &[usize],
        all: bool,
        of_rows: (Micros, Option<Cut>),
    ) -> Result<Vec<u8>, StateError> {
        let mut bytes = Vec::new();
        add(&mut bytes, &slots.len())?;
        for slot in slots {
            add(&mut bytes, &self.devices[*slot].entry(&self.metrics, all))?;
        }
        let counts = slots.iter().filter_map(|slot| self.devices[*slot].counts(&self.metrics, all));
        add(&mut bytes, &counts.collect::<Vec<_>>())?;
        add(&mut bytes, &of_rows)?;
        add(&mut bytes, &slots.len())?;
        for slot in slots {
            add(&mut bytes, &self.devices[*slot].rows(all))?;
        }
        Ok(bytes)
    }

    /// Takes over what a delta or a snapshot says, and forgets what was forgotten with it: the next one goes on with what was left then,
    /// whatever the config says now. `dedupe` is for what a version wrote that did not say for how long it remembers.
    ///
    /// # Errors
    /// When the bytes are none that this version wrote, or one before it.
    pub(super) fn apply(&mut self, bytes: &[u8], dedupe: Micros) -> Result<(), StateError> {
        let (entries, rest): (Vec<Entry>, _) = postcard::take_from_bytes(bytes).map_err(StateError::new)?;
        let (counts, rest): (Vec<CountsEntry>, _) = match rest {
            [] => Default::default(),
            rest => postcard::take_from_bytes(rest).map_err(StateError::new)?,
        };
        let rows: Rows = match rest {
            [] => Rows { dedupe, cut: None, of_devices: Vec::new() },
            rest => postcard::from_bytes(rest).map_err(StateError::new)?,
        };
        let (mut touched, mut of_devices) = (Change::default(), rows.of_devices.into_iter());
        for entry in entries {
            let slot = self.device_slot(&entry.device);
            self.devices[slot].apply(entry, &mut self.metrics)?;
            self.devices[slot].apply_rows(of_devices.next().unwrap_or_default())?;
            touched.touch(slot);
        }
        for entry in counts {
            let slot = self.device_slot(&entry.device);
            self.devices[slot].apply_counts(entry, &mut self.metrics);
            touched.touch(slot);
        }
        self.forget(&touched, rows.dedupe);
        if let Some(cut) = rows.cut {
            self.forget_rows(|device| device.forget(cut.age));
            self.forget_rows(|device| device.forget_chunks(cut.chunks));
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    #[cfg(test)]
    pub(super) fn indexes(&self) -> usize {
        assert_eq!(self.indexes, self.devices.iter().map(Device::indexes).sum::<usize>());
        self.indexes
    }

    #[cfg(test)]
    pub(super) fn metrics(&self) -> usize {
        self.metrics.len()
    }

    /// Lets go of identities older than `dedupe`, in the devices that `change` names.
    fn forget(&mut self, change: &Change, dedupe: Micros) {
        for slot in &change.slots {
            let device = &mut self.devices[*slot];
            let (_, more) = device.forget(dedupe);
            self.size = self.size.saturating_add_signed(more);
            self.indexes = self.indexes.saturating_add_signed(device.more_indexes());
        }
    }

    /// Where telling repeats takes more than `bytes_max`, forgets what lies furthest behind the newest of its device,
    /// down to three quarters of that: it must not be done over and over. What is newer than [`AGE_MIN`] is only forgotten
    /// where that is not enough, of the devices with most of it: those whose clocks stand still.
    fn forget_early(&mut self, bytes_max: usize) {
        if self.size <= bytes_max.max(self.enough) {
            return;
        }
        let room = bytes_max / 4 * 3;
        let too_old = beyond(self.devices.iter().flat_map(Device::ages), room);
        let mut cut = Cut {
            age: too_old.map_or(Micros::MAX, |age| age.saturating_sub(1).max(AGE_MIN)),
            chunks: usize::MAX,
        };
        self.forgotten += self.forget_rows(|device| device.forget(cut.age));
        if self.size > room {
            let chunks: usize = self.devices.iter().flat_map(Device::places).map(|(_, size)| size).sum();
            let room = room.saturating_sub(self.size.saturating_sub(chunks));
            let too_many = beyond(self.devices.iter().flat_map(Device::places), room);
            cut.chunks = too_many.map_or(usize::MAX, |place| place.max(CHUNKS_MIN));
            self.forgotten += self.forget_rows(|device| device.forget_chunks(cut.chunks));
        }
        self.enough = if self.size > room { self.size + bytes_max / 4 } else { 0 };
        self.cut = Some(cut);
    }

    /// Has each device forget rows, which it answers with what it then takes more. How many rows.
    fn forget_rows(&mut self, forget: impl Fn(&mut Device) -> (u64, isize)) -> u64 {
        let mut forgotten = 0;
        for device in &mut self.devices {
            let (rows, more) = forget(device);
            forgotten += rows;
            self.size = self.size.saturating_add_signed(more);
            self.indexes = self.indexes.saturating_add_signed(device.more_indexes());
        }
        forgotten
    }

    /// How many rows were forgotten for want of room since the last time.
    pub(crate) fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }
}

/// What of these has no room, when those that measure least come first: the least measure of it.
fn beyond<M: Ord + Copy>(parts: impl Iterator<Item = (M, usize)>, mut room: usize) -> Option<M> {
    let mut parts: Vec<_> = parts.collect();
    parts.sort_unstable();
    let first = parts.into_iter().find(|(_, size)| {
        let fits = *size <= room;
        room = room.saturating_sub(*size);
        !fits
    });
    first.map(|(measure, _)| measure)
}

/// What had to be forgotten for want of room.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Cut {
    /// All that lies further behind the newest of its device.
    age: Micros,
    /// All but the last so many chunks of rows of a device.
    chunks: usize,
}

/// What is remembered of the rows of devices.
#[derive(Deserialize)]
struct Rows {
    /// For how long rows of these devices were remembered when this was written.
    dedupe: Micros,
    cut: Option<Cut>,
    /// In the order of the devices.
    of_devices: Vec<Vec<ChunkEntry>>,
}

fn add(bytes: &mut Vec<u8>, value: &impl Serialize) -> Result<(), StateError> {
    *bytes = postcard::to_extend(value, std::mem::take(bytes)).map_err(StateError::new)?;
    Ok(())
}
