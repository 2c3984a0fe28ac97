//! The conversions of a transform.

use std::collections::BTreeMap;

use super::Builder;
use crate::transform::{
    config::{Preset, ReadingsSource},
    convert::{Convert, Said},
    pointers,
};

impl Builder<'_> {
    pub(super) fn convert(&mut self) -> BTreeMap<String, Convert> {
        let config = self.config;
        let mut made = BTreeMap::new();
        for (metric, entry) in &config.convert {
            match Convert::new(entry, &self.said_of(metric)) {
                Ok(convert) => drop(made.insert(metric.clone(), convert)),
                Err(found) => {
                    for (key, message) in found {
                        let slash = if key.is_empty() { "" } else { "/" };
                        let entry = pointers::join("convert", metric);
                        self.mistakes.add(&format!("{entry}{slash}{key}"), message);
                    }
                }
            }
        }
        made
    }

    /// The units that the config says of a metric, as it is stored.
    fn said_of(&self, metric: &str) -> Said<'_> {
        let config = self.config;
        let readings = config.samples.as_ref().map_or(&config.readings, |samples| &samples.readings);
        let fields = match readings {
            Some(ReadingsSource::Fields(fields)) => fields.as_slice(),
            _ => &[],
        };
        let stored = |name: &String| config.rename.get(name).unwrap_or(name) == metric;
        let fields = fields.iter().filter(|field| stored(&field.metric));
        Said {
            stored: config.units.get(metric).map(String::as_str),
            fields: fields.filter_map(|field| field.unit.as_deref()).collect(),
            in_payload: config.preset == Some(Preset::Senml),
        }
    }
}
